"""Resize images to the input of a feature network; the filter alone can change FID by points.

Source: arXiv:2104.11222, which compares filters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import tensorflow as tf

from pipeline.evaluation.features.network import Images

Floats = npt.NDArray[np.float32]
_BICUBIC = PIL.Image.Resampling.BICUBIC


def tensorflow1_bilinear(images: Images, side: int) -> Floats:
    """Resize with the bilinear filter of TensorFlow 1, as published FIDs do, without antialiasing.

    Along each axis, a row p of `before` pixels becomes `side` pixels. New pixel i is at
    `x = i · before / side`, so that pixel corners are aligned, not centres. Its value is
    `(1 - f) · p[⌊x⌋] + f · p[⌊x⌋ + 1]` with `f = x - ⌊x⌋`, and the last pixel is repeated.

    Call: `(n, height, width, channels)` → `(n, side, side, channels)`, 0 … 255, not rounded.
    """
    resized = tf.raw_ops.ResizeBilinear(
        # Call the raw operation, because `tf.image.resize` of TensorFlow 2 aligns pixel centres.
        images=images,
        size=[side, side],
        align_corners=False,
        half_pixel_centers=False,
    )
    return resized.numpy()


def antialiased_bicubic(images: Images, side: int) -> Floats:
    """Resize with Pillow's antialiased bicubic filter, each channel in floats, as clean-fid does.

    When it reduces an image, the filter widens with the factor, so that every pixel counts.

    Call: `(n, height, width, channels)` → `(n, side, side, channels)`, 0 … 255, not rounded.
    """
    count, *_, channels = images.shape
    resized = np.empty((count, side, side, channels), np.float32)
    for image, to in zip(images.astype(np.float32), resized, strict=True):
        for channel in range(channels):
            # Resize each channel alone: Pillow has no float images with several channels.
            plane = PIL.Image.fromarray(np.ascontiguousarray(image[..., channel]))
            to[..., channel] = np.asarray(plane.resize((side, side), _BICUBIC))
    # Clip, because a bicubic filter overshoots at edges.
    return resized.clip(0.0, 255.0)


def box_or_nearest(images: Any, side: int) -> Any:
    """Reduce with a box filter or enlarge with nearest-neighbour, as progressive growing does.

    Call: floats `(n, before, before, channels)` → `(n, side, side, channels)`, where `before` is a
    multiple of `side` or divides it.
    """
    before = images.shape[1]
    if before > side:
        return tf.nn.avg_pool2d(images, before // side, before // side, "VALID")
    if before < side:
        factor = side // before
        return tf.repeat(tf.repeat(images, factor, axis=1), factor, axis=2)
    return images
