"""Resize images to a network's input; the filter alone can change FID by points.

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
    """Resize bilinearly as TensorFlow 1, behind published FIDs: no antialiasing, off centre.

    Along each axis, new pixel i of `side` is at `x = i · before / side`, which keeps the corner of
    the first pixel, not its centre, in place. Its value is `(1 - f) · p[⌊x⌋] + f · p[⌊x⌋ + 1]` with
    `f = x - ⌊x⌋` and the last pixel repeated.

    Call: `(n, height, width, channels)` → `(n, side, side, channels)`, 0 … 255, not rounded.
    """
    resized = tf.raw_ops.ResizeBilinear(
        # The raw operation: `tf.image.resize` of TensorFlow 2 keeps pixel centres.
        images=images,
        size=[side, side],
        align_corners=False,
        half_pixel_centers=False,
    )
    return resized.numpy()


def antialiased_bicubic(images: Images, side: int) -> Floats:
    """Resize with Pillow's antialiased bicubic filter, per channel in floats, as clean-fid.

    On reduction the filter widens with the step, so every pixel counts.

    Call: `(n, height, width, channels)` → `(n, side, side, channels)`, 0 … 255, not rounded.
    """
    count, *_, channels = images.shape
    resized = np.empty((count, side, side, channels), np.float32)
    for image, to in zip(images.astype(np.float32), resized, strict=True):
        for channel in range(channels):
            # Pillow has floats of one channel only.
            plane = PIL.Image.fromarray(np.ascontiguousarray(image[..., channel]))
            to[..., channel] = np.asarray(plane.resize((side, side), _BICUBIC))
    # The filter overshoots at edges.
    return resized.clip(0.0, 255.0)


def box_or_nearest(images: Any, side: int) -> Any:
    """Reduce by averages of blocks of pixels, enlarge by repetition, as growing networks do.

    Call: floats `(n, before, before, channels)`, where one side is a multiple of the other →
    `(n, side, side, channels)`.
    """
    before = images.shape[1]
    if before > side:
        return tf.nn.avg_pool2d(images, before // side, before // side, "VALID")
    if before < side:
        factor = side // before
        return tf.repeat(tf.repeat(images, factor, axis=1), factor, axis=2)
    return images
