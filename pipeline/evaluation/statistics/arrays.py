"""Check the arrays that statistics take: features, labels and images."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import UserError
from pipeline.shape import SMALLEST_SIDE

Array = npt.NDArray[Any]


def check_features(
    features: Any, name: str, *, min_rows: int = 1, like: Array | None = None
) -> Array:
    """Return features `(n, dimensions)` as an array, after checks; `name` is for errors.

    n must be at least `min_rows`, and dimensions as many as those of the features `like`, if given.

    Raises:
        UserError: if the shape is wrong, or a number is not finite.
    """
    array = np.asarray(features)
    if array.ndim != 2 or len(array) < min_rows:
        raise UserError(
            f"`{name}` must be at least {min_rows} features of shape (images, dimensions). "
            f"Received: shape={array.shape}"
        )
    if like is not None and array.shape[1] != like.shape[1]:
        raise UserError(
            f"`{name}` must have the {like.shape[1]} dimensions of what it is compared with. "
            f"Received: shape={array.shape}"
        )
    # Check for NaN here, because it passes silently through means and sorts.
    if not np.isfinite(array).all():
        broken = int((~np.isfinite(array)).any(1).sum())
        raise UserError(f"`{name}` must be finite. Received: {broken} rows that are not")
    return array


def check_images(images: Any, name: str) -> Array:
    """Return images as an array, after a check: `(n, height, width, channels)`, sides from 4 px.

    Raises:
        UserError: if the shape is wrong, or there are no images.
    """
    array = np.asarray(images)
    if array.ndim != 4 or min(array.shape[1:3]) < SMALLEST_SIDE or not len(array):
        raise UserError(
            f"`{name}` must have the shape (images, height, width, channels), its sides at least "
            f"{SMALLEST_SIDE}. Received: shape={array.shape}"
        )
    return array


def check_labels(labels: Any, name: str, count: int) -> Array:
    """Return labels as an array, after a check: one integer for each of `count` samples.

    Raises:
        UserError: if the shape or type is wrong.
    """
    array = np.asarray(labels)
    if array.shape != (count,) or not np.issubdtype(array.dtype, np.integer):
        raise UserError(
            f"`{name}` must be {count} integers, one per sample. "
            f"Received: shape={array.shape}, dtype={array.dtype}"
        )
    return array
