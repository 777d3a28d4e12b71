"""Feature network: maps images to features; its `identity` says which one a score used."""

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
    """Feature network, such as Inception, called on any number of images.

    Images are `(n, height, width, channels)` in 0 … 255: uint8, or floats for path lengths, where
    steps of 8 bits are too coarse.

    Args:
        name: Short name, such as `inception`.
        weights_hash: SHA-256, in hex, of the weights.
        protocol: Preparation of the images and the layer of the features, as
            `{"resize": "bilinear", "layer": "pool3"}`.
        forward: Function from a whole batch of images to features `(batch, d)` and probabilities
            `(batch, classes)` or None.
        classes: Names of the classes; None without classes, or if names are not known, as those of
            Inception.
        batch: Batch size.
    """

    name: str
    weights_hash: str
    protocol: Mapping[str, str]
    forward: Callable[[Images], tuple[Any, Any]]
    classes: tuple[str, ...] | None = None
    batch: int = 64

    @property
    def identity(self) -> str:
        """SHA-256, in hex, of name, weights and protocol; scores compare only if it is equal."""
        # With the protocol: another resize filter alone moves FID by whole points.
        content = {"name": self.name, "weights": self.weights_hash, "protocol": dict(self.protocol)}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def __call__(self, images: Images) -> Features:
        """Compute features, a row per image.

        Raises:
            ValueError: if there are no images.
            UserError: if the network does not accept images of this size or with these channels.
        """
        if not len(images):
            raise ValueError("`images` must hold at least one image. Received: none")
        parts = [
            self._of_part(images[start : start + self.batch])
            for start in range(0, len(images), self.batch)
        ]
        return concatenated(parts)

    def _of_part(self, images: Images) -> Features:
        # The last bits of a feature may depend on the batch size, so the last batch is filled up
        # with black images.
        missing = self.batch - len(images)
        filled = np.pad(images, [(0, missing), *[(0, 0)] * 3]) if missing else images
        vectors, probabilities = self.forward(filled)
        count = len(images)
        return Features(
            np.asarray(vectors, np.float32)[:count],
            None if probabilities is None else np.asarray(probabilities, np.float32)[:count],
        )


def concatenated(parts: list[Features]) -> Features:
    """Concatenate the features of consecutive batches."""
    probabilities = [part.probabilities for part in parts if part.probabilities is not None]
    return Features(
        np.concatenate([part.vectors for part in parts]),
        np.concatenate(probabilities) if probabilities else None,
    )


def with_channels(images: Images, channels: int, network: str) -> Images:
    """Give images the channels that a network takes; grey becomes RGB by repetition.

    `network` is its name for the message.

    Raises:
        UserError: if images are RGB and the network takes grey.
    """
    found = images.shape[-1]
    if found == channels:
        return images
    if found == 1:
        return np.repeat(images, channels, axis=-1)
    raise UserError(f"{network} takes grey images only. Received: images of {found} channels")
