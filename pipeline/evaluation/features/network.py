"""Feature network: images to features, and the hash that identifies it in scores."""

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
    """Features of images, `(n, d)`, and probabilities `(n, classes)` if the network has classes."""

    vectors: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class FeatureNetwork:
    """Network for features of any number of images.

    Call: uint8 `(n, height, width, channels)`, or floats of the same range where 8 bits are too
    coarse, as for path lengths → `Features` of n rows.

    Args:
        name: Short name, such as `inception`.
        weights: SHA-256, in hex, of the weights.
        protocol: Preparation of the images, and the layer that gives features.
        forward: Function from uint8 `(batch, height, width, channels)` to features `(batch, d)` and
            probabilities `(batch, classes)` or None.
        classes: Names of the classes, None if unknown or without classes.
        batch: Batch size.

    Raises:
        UserError: if the network does not accept images of this size or with these channels.
    """

    name: str
    weights: str
    protocol: Mapping[str, str]
    forward: Callable[[Images], tuple[Any, Any]]
    classes: tuple[str, ...] | None = None
    batch: int = 64

    @property
    def identity(self) -> str:
        """SHA-256, in hex, of weights and protocol; scores compare only if it is equal."""
        # The protocol too: the resize filter alone changes FID by points.
        content = {"name": self.name, "weights": self.weights, "protocol": dict(self.protocol)}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def __call__(self, images: Images) -> Features:
        """Compute features of images, in order."""
        if not len(images):
            raise ValueError("`images` must be at least one. Received: none")
        parts = [
            self._of_part(images[start : start + self.batch])
            for start in range(0, len(images), self.batch)
        ]
        return concatenated(parts)

    def _of_part(self, images: Images) -> Features:
        # Filled up with black images, as the last bits of a feature may depend on the batch size.
        missing = self.batch - len(images)
        filled = np.pad(images, [(0, missing), *[(0, 0)] * 3]) if missing else images
        vectors, probabilities = self.forward(filled)
        count = len(images)
        return Features(
            np.asarray(vectors, np.float32)[:count],
            None if probabilities is None else np.asarray(probabilities, np.float32)[:count],
        )


def concatenated(parts: list[Features]) -> Features:
    """Concatenate the features of consecutive parts of the images."""
    probabilities = [part.probabilities for part in parts if part.probabilities is not None]
    return Features(
        np.concatenate([part.vectors for part in parts]),
        np.concatenate(probabilities) if probabilities else None,
    )


def with_channels(images: Images, channels: int, network: str) -> Images:
    """Give images the channels that a network takes; grey becomes RGB by repetition.

    Raises:
        UserError: if images are RGB and the network takes grey.
    """
    found = images.shape[-1]
    if found == channels:
        return images
    if found == 1:
        return np.repeat(images, channels, axis=-1)
    raise UserError(f"the images for {network} must be grey. Received: images of {found} channels")
