"""Common type of all feature networks; its `identity` records which network a score used."""

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
    """Network, such as Inception, that maps any number of images to features.

    Images are `(n, height, width, channels)` in 0 … 255: uint8, or floats for path lengths, which
    measure changes below one level of 8 bits.
    """

    name: str  # Short name, such as `inception`
    weights_hash: str  # SHA-256, in hex, of the weights
    protocol: Mapping[str, str]
    """Preparation of the images and layer of the features, such as `{"resize": "bilinear", "layer":
    "pool3"}`."""
    forward: Callable[[Images], tuple[Any, Any]]
    """Function from images to features `(batch, d)`, and `(batch, classes)` or None."""
    classes: tuple[str, ...] | None = None
    """Names of the classes; None without classes or known names, as for Inception."""
    batch: int = 64  # Number of images for each call of `forward`

    @property
    def identity(self) -> str:
        """SHA-256, in hex, of name, weights and protocol; scores compare only if it is equal."""
        # Include the protocol: another resize filter alone can change FID by whole points.
        content = {"name": self.name, "weights": self.weights_hash, "protocol": dict(self.protocol)}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def __call__(self, images: Images) -> Features:
        """Compute features, one row per image.

        Raises:
            ValueError: if there are no images.
            UserError: if the network does not accept images of this size or with these channels.
        """
        if not len(images):
            raise ValueError("`images` must hold at least one image. Received: none")
        parts = [
            self._compute_batch(images[start : start + self.batch])
            for start in range(0, len(images), self.batch)
        ]
        return concatenate(parts)

    def _compute_batch(self, images: Images) -> Features:
        # Pad a smaller batch with black images: the last bits of features may depend on its size.
        missing = self.batch - len(images)
        padded = np.pad(images, [(0, missing), *[(0, 0)] * 3]) if missing else images
        vectors, probabilities = self.forward(padded)
        count = len(images)
        return Features(
            np.asarray(vectors, np.float32)[:count],
            None if probabilities is None else np.asarray(probabilities, np.float32)[:count],
        )


def concatenate(parts: list[Features]) -> Features:
    """Concatenate the features of consecutive batches."""
    probabilities = [part.probabilities for part in parts if part.probabilities is not None]
    return Features(
        np.concatenate([part.vectors for part in parts]),
        np.concatenate(probabilities) if probabilities else None,
    )


def with_channels(images: Images, channels: int, network: str) -> Images:
    """Return images with the number of channels that a network takes; grey is repeated for RGB.

    `network` is its name, for the error.

    Raises:
        UserError: if images are RGB and the network takes grey.
    """
    found = images.shape[-1]
    if found == channels:
        return images
    if found == 1:
        return np.repeat(images, channels, axis=-1)
    raise UserError(f"{network} takes grey images only. Received: images of {found} channels")
