"""Tolerances of `growgan verify` for answers that another kind of machine recorded.

Such answers cannot be equal bit for bit, because machines round differently.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

CPU_BOUND = 1e-3
"""Largest distance between CPUs, which sum in different orders; 2e-6 is the largest measured."""
GPU_BOUND = 1e-2
"""Largest distance if a GPU takes part: its TensorFloat-32 has only 10 bits of mantissa."""
_LEVELS_PER_UNIT = 127.5  # 8-bit levels span the range -1 to 1, which is 2 units long
_PNG_MAGIC, _JPEG_MAGIC = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def choose_bound(*gpus: str) -> float:
    """Choose the tolerance by the GPU names of the two machines; an empty name means no GPU."""
    return GPU_BOUND if any(gpus) else CPU_BOUND


def distance(recorded: npt.NDArray[Any], answered: npt.NDArray[Any]) -> float:
    """Measure how far an answer is from the recorded one, on a scale where images span -1 to 1.

    Floats: largest difference, divided by the largest recorded magnitude if that exceeds 1.
    uint8 and pixels of PNG files: (largest difference - 1) / 127.5, as rounding may differ by one
    level. JPEG files: the same with the mean difference. Other values, such as integers, must be
    equal: the result is then 0, else infinity. Infinity also if shapes, types or images differ.
    """
    if recorded.shape != answered.shape or recorded.dtype != answered.dtype:
        return math.inf
    if recorded.dtype == object:
        pairs = zip(recorded.flat, answered.flat, strict=True)
        return max((_string_distance(*pair) for pair in pairs), default=0.0)
    if recorded.dtype == np.uint8:
        return _levels_to_distance(float(np.max(_difference(recorded, answered), initial=0.0)))
    # Allow no tolerance for integers, such as labels.
    if recorded.dtype.kind != "f":
        return 0.0 if np.array_equal(recorded, answered) else math.inf
    finite = np.isfinite(recorded)
    # Require equal NaN and infinite values: no distance between them is defined.
    if not np.array_equal(recorded[~finite], answered[~finite], equal_nan=True):
        return math.inf
    if not np.isfinite(answered[finite]).all():
        return math.inf
    largest = np.max(_difference(recorded[finite], answered[finite]), initial=0.0)
    return float(largest / np.max(np.abs(recorded[finite]), initial=1.0))


def _string_distance(recorded: bytes, answered: bytes) -> float:
    if recorded == answered:
        return 0.0
    for magic, summarize in ((_PNG_MAGIC, np.max), (_JPEG_MAGIC, np.mean)):
        if recorded.startswith(magic) and answered.startswith(magic):
            levels = _pixel_difference(recorded, answered)
            # Take the mean for JPEG: one level in a pixel can change its whole 8x8 block.
            return math.inf if levels is None else _levels_to_distance(float(summarize(levels)))
    return math.inf


def _pixel_difference(*files: bytes) -> npt.NDArray[np.float64] | None:
    # Import here, so that importing this module does not start TensorFlow.
    import tensorflow as tf

    try:
        decoded = [tf.io.decode_image(file).numpy() for file in files]
    except tf.errors.InvalidArgumentError:
        return None
    return _difference(*decoded) if decoded[0].shape == decoded[1].shape else None


def _difference(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.abs(first.astype(np.float64) - second.astype(np.float64))


def _levels_to_distance(levels: float) -> float:
    # Allow one level, because rounding may go either way.
    return max(levels - 1, 0.0) / _LEVELS_PER_UNIT
