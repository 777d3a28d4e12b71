"""Nearest-neighbour enlargement and box-filter reduction by an integer factor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


def nearest_up(images: Any, factor: int) -> Any:
    """Repeat every pixel as a `factor`×`factor` square.

    `(batch, height, width, channels) → (batch, height·factor, width·factor, channels)`.
    """
    batch, height, width, channels = ops.shape(images)
    # Use a broadcast: its gradients of every order are cheap, sums and broadcasts only.
    squares = ops.broadcast_to(
        ops.reshape(images, (batch, height, 1, width, 1, channels)),
        (batch, height, factor, width, factor, channels),
    )
    return ops.reshape(squares, (batch, height * factor, width * factor, channels))


def box_down(images: Any, factor: int) -> Any:
    """Average every `factor`×`factor` square.

    `(batch, height, width, channels) → (batch, height/factor, width/factor, channels)`.
    """
    reduced_shape(images.shape, factor)  # Raise here: pooling would drop leftover rows and columns.
    return ops.average_pool(images, pool_size=factor, strides=factor, padding="valid")


def enlarged_shape(shape: Sequence[int | None], factor: int) -> tuple[int | None, ...]:
    """Return the shape of enlarged images: known sides times `factor`; unknown ones stay None."""
    batch, height, width, channels = shape
    return (batch, height and height * factor, width and width * factor, channels)


def reduced_shape(shape: Sequence[int | None], factor: int) -> tuple[int | None, ...]:
    """Return the shape of reduced images: known sides divided by `factor`; unknown ones stay None.

    Raises:
        ValueError: if a known side is not a multiple of `factor`.
    """
    batch, height, width, channels = shape
    if (height or 0) % factor or (width or 0) % factor:
        raise ValueError(
            f"the height and the width must be multiples of {factor} to be reduced by it. "
            f"Received: height={height}, width={width}"
        )
    return (batch, height and height // factor, width and width // factor, channels)


class Resample2D(keras.layers.Layer):
    """Base class of layers that enlarge or reduce images by an integer factor."""

    def __init__(self, factor: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if factor < 1:
            raise ValueError(f"`factor` must be at least 1. Received: factor={factor}")
        self.factor = factor

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable(package="growgan")
class NearestUp2D(Resample2D):
    """Enlarge images by an integer factor, repeating every pixel.

    Args:
        factor: Factor by which each side grows.

    Call: `(batch, height, width, channels) → (batch, height·factor, width·factor, channels)`.

    Raises:
        ValueError: if `factor` is not positive.

    Example:
        >>> NearestUp2D()(keras.ops.ones((1, 2, 2, 3))).shape
        TensorShape([1, 4, 4, 3])

    Source: arXiv:1710.10196, section 2.
    """

    def call(self, inputs: Any) -> Any:
        return nearest_up(inputs, self.factor)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return enlarged_shape(input_shape, self.factor)


@keras.saving.register_keras_serializable(package="growgan")
class BoxDown2D(Resample2D):
    """Reduce images by an integer factor, averaging each square of pixels.

    Args:
        factor: Factor by which each side shrinks.

    Call: `(batch, height, width, channels) → (batch, height/factor, width/factor, channels)`.

    Raises:
        ValueError: if `factor` is not positive, or a side is not a multiple of it.

    Example:
        >>> BoxDown2D()(keras.ops.ones((1, 4, 4, 3))).shape
        TensorShape([1, 2, 2, 3])

    Source: arXiv:1710.10196, section 2.
    """

    def call(self, inputs: Any) -> Any:
        return box_down(inputs, self.factor)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return reduced_shape(input_shape, self.factor)
