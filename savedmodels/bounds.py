"""Tolerances for answers that another kind of machine recorded."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

CPU_BOUND = 1e-3  # CPUs sum in different orders; the largest difference seen is 2e-6.
GPU_BOUND = 1e-2  # TensorFloat-32 has 10 bits of mantissa.
_HALF = 127.5  # 8-bit levels per unit of the range -1 to 1
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def bound_of(*gpus: str) -> float:
    """Choose the tolerance for two machines by the names of their GPUs, empty for none."""
    return GPU_BOUND if any(gpus) else CPU_BOUND


def distance(recorded: npt.NDArray[Any], answered: npt.NDArray[Any]) -> float:
    """Measure how far an answer is from the recorded one, on a scale where images span -1 to 1.

    Floats: largest difference, divided by the largest recorded magnitude if that exceeds 1.
    uint8 and pixels of PNG files: (largest difference - 1) / 127.5, as rounding may differ by one
    level. JPEG files: the same with the mean difference. All else must be equal. Infinite if the
    two cannot be compared.
    """
    if recorded.shape != answered.shape or recorded.dtype != answered.dtype:
        return math.inf
    if recorded.dtype == object:
        pairs = zip(recorded.flat, answered.flat, strict=True)
        return max((_of_strings(*pair) for pair in pairs), default=0.0)
    if recorded.dtype == np.uint8:
        return _of_levels(float(np.max(_apart(recorded, answered), initial=0.0)))
    # Integers such as labels have no tolerance.
    if recorded.dtype.kind != "f":
        return 0.0 if np.array_equal(recorded, answered) else math.inf
    finite = np.isfinite(recorded)
    # NaN and infinity have no distance, so they must be the same.
    if not np.array_equal(recorded[~finite], answered[~finite], equal_nan=True):
        return math.inf
    if not np.isfinite(answered[finite]).all():
        return math.inf
    largest = np.max(_apart(recorded[finite], answered[finite]), initial=0.0)
    return float(largest / np.max(np.abs(recorded[finite]), initial=1.0))


def _of_strings(recorded: bytes, answered: bytes) -> float:
    if recorded == answered:
        return 0.0
    for begin, summary in ((_PNG, np.max), (_JPEG, np.mean)):
        if recorded.startswith(begin) and answered.startswith(begin):
            apart = _pixels_apart(recorded, answered)
            # JPEG by the mean: one level in a pixel changes its whole 8x8 block.
            return math.inf if apart is None else _of_levels(float(summary(apart)))
    return math.inf


def _pixels_apart(*files: bytes) -> npt.NDArray[np.float64] | None:
    # Imported here, so that reading golden requests does not start TensorFlow.
    import tensorflow as tf

    try:
        decoded = [tf.io.decode_image(file).numpy() for file in files]
    except tf.errors.InvalidArgumentError:
        return None
    return _apart(*decoded) if decoded[0].shape == decoded[1].shape else None


def _apart(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.abs(first.astype(np.float64) - second.astype(np.float64))


def _of_levels(levels: float) -> float:
    # One level is allowed, because rounding may go either way.
    return max(levels - 1, 0.0) / _HALF
