"""A feature network: what turns images into features, and the hash that its scores bear."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.errors import UserError

Images = npt.NDArray[Any]


class Features(NamedTuple):
    """Features of images, and class probabilities where a network has classes.

    Args:
        vectors: Features `(n, d)`.
        probabilities: Probabilities of the classes `(n, classes)`, or None where the network has
            none.
    """

    vectors: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class FeatureNetwork:
    """Features of images, whatever the number of images that it is given at once.

    Call: `(n, height, width, channels)`, uint8, or floats of the same range where a step of 8 bits
    is too coarse, as for path lengths → `Features` of n rows. Images go through the network
    in batches of one size, the last one filled up with black ones, since the last bits of a feature
    may depend on the size of its batch.

    Args:
        name: Short, such as `inception`.
        weights: SHA-256, in hex, of the weights.
        protocol: Preparation of images for the network, and the layer that is taken.
        forward: uint8 `(batch, height, width, channels)` → features `(batch, d)` and probabilities
            `(batch, classes)` or None.
        classes: Names of the classes, where they have any.
        batch: Images at a time.

    Raises:
        UserError: if the network does not take images of this size or with these channels.
    """

    name: str
    weights: str
    protocol: Mapping[str, str]
    forward: Callable[[Images], tuple[Any, Any]]
    classes: tuple[str, ...] | None = None
    batch: int = 64

    @property
    def identity(self) -> str:
        """SHA-256, in hex, of the weights and the protocol: scores compare only within one."""
        content = {"name": self.name, "weights": self.weights, "protocol": dict(self.protocol)}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def __call__(self, images: Images) -> Features:
        """Features of images, in their order."""
        if not len(images):
            raise ValueError("`images` must be at least one. Received: none")
        parts = [
            self._of_part(images[start : start + self.batch])
            for start in range(0, len(images), self.batch)
        ]
        return joined(parts)

    def _of_part(self, images: Images) -> Features:
        missing = self.batch - len(images)
        filled = np.pad(images, [(0, missing), *[(0, 0)] * 3]) if missing else images
        vectors, probabilities = self.forward(filled)
        count = len(images)
        return Features(
            np.asarray(vectors, np.float32)[:count],
            None if probabilities is None else np.asarray(probabilities, np.float32)[:count],
        )


def joined(parts: list[Features]) -> Features:
    """The features of one part of the images after the other."""
    probabilities = [part.probabilities for part in parts if part.probabilities is not None]
    return Features(
        np.concatenate([part.vectors for part in parts]),
        np.concatenate(probabilities) if probabilities else None,
    )


def with_channels(images: Images, channels: int, network: str) -> Images:
    """Images with the channels that a network takes: grey becomes RGB by repetition.

    Raises:
        UserError: if images are RGB and the network takes grey.
    """
    found = images.shape[-1]
    if found == channels:
        return images
    if found == 1:
        return np.repeat(images, channels, axis=-1)
    raise UserError(f"the images for {network} must be grey. Received: images of {found} channels")
