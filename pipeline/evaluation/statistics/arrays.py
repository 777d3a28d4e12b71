"""Checks of the arrays that statistics take: features, labels and images."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import UserError
from pipeline.shape import SMALLEST_SIDE

Array = npt.NDArray[Any]


def checked_features(
    features: Any, name: str, *, least: int = 1, like: Array | None = None
) -> Array:
    """Features `(n, dimensions)`, as they came.

    Args:
        features: Any array of numbers.
        name: Name of the argument, for the message.
        least: Smallest number of them.
        like: Features that they are compared with.

    Raises:
        UserError: If the shape is another, or a number is not finite.
    """
    array = np.asarray(features)
    if array.ndim != 2 or len(array) < least:
        raise UserError(
            f"`{name}` must be at least {least} features of shape (images, dimensions). "
            f"Received: shape={array.shape}"
        )
    if like is not None and array.shape[1] != like.shape[1]:
        raise UserError(
            f"`{name}` must have the {like.shape[1]} dimensions of what it is compared with. "
            f"Received: shape={array.shape}"
        )
    if not np.isfinite(array).all():
        broken = int((~np.isfinite(array)).any(1).sum())
        raise UserError(f"`{name}` must be finite. Received: {broken} rows that are not")
    return array


def checked_images(images: Any, name: str) -> Array:
    """Images `(n, height, width, channels)`, as they came; sides are at least 4 px.

    Raises:
        UserError: If the shape is another.
    """
    array = np.asarray(images)
    if array.ndim != 4 or min(array.shape[1:3]) < SMALLEST_SIDE or not len(array):
        raise UserError(
            f"`{name}` must have the shape (images, height, width, channels), its sides at least "
            f"{SMALLEST_SIDE}. Received: shape={array.shape}"
        )
    return array


def checked_labels(labels: Any, name: str, count: int) -> Array:
    """Labels `(n,)`, whole numbers, one for each of `count` samples.

    Raises:
        UserError: If there are fewer or more, or the kind is another.
    """
    array = np.asarray(labels)
    if array.shape != (count,) or not np.issubdtype(array.dtype, np.integer):
        raise UserError(
            f"`{name}` must be {count} whole numbers, one a sample. "
            f"Received: shape={array.shape}, dtype={array.dtype}"
        )
    return array
