"""Layouts of kernels between pixels and features; the official order is channels, rows, columns."""

from __future__ import annotations

from pipeline.families.network import START_RESOLUTION
from pipeline.families.official.pickles import Array

_AREA = (START_RESOLUTION, START_RESOLUTION)


def to_pixels(kernel: Array) -> Array:
    """Reorder the kernel to the first pixels, `(latents, channels · 16) → (…, 16 · channels)`."""
    pixels = kernel.reshape(len(kernel), -1, *_AREA).transpose(0, 2, 3, 1)
    return pixels.reshape(len(kernel), -1)


def from_pixels(kernel: Array) -> Array:
    """Reorder the kernel of the last pixels, `(channels · 16, features) → (16 · channels, …)`."""
    features = kernel.shape[1]
    return kernel.reshape(-1, *_AREA, features).transpose(1, 2, 0, 3).reshape(-1, features)


def mirrored(kernel: Array) -> Array:
    """Mirror a kernel `(rows, columns, …)`, as a transposed convolution applies it."""
    return kernel[::-1, ::-1]
