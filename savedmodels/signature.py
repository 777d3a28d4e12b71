"""Signature of a SavedModel: a function, and inputs with rules that the graph itself checks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

MAX_SHOWN = 3  # Maximum number of wrong values of an input that an error shows.
Outputs = dict[str, Any]  # Tensors by the names of a signature's outputs.


@dataclass(frozen=True)
class Input:
    """Named input of a signature."""

    name: str  # Name of the input
    example: NDArray[Any]
    """Valid value, which also sets the input's dtype and shape; only the number of rows may differ.
    Integers are int64, other numbers float32."""
    low: int = 0  # Smallest value of an integer
    high: int = 0  # Largest value of an integer
    default: NDArray[Any] | None = None
    """Value if a gRPC client of TensorFlow Serving omits the input; None if required."""

    @property
    def has_rows(self) -> bool:
        """True if the input has rows, one per answer or one for all; False for a single number."""
        return self.example.ndim > 0

    @property
    def spec(self) -> tf.TensorSpec:
        """Spec of the input, with any number of rows."""
        shape = (None, *self.example.shape[1:]) if self.has_rows else ()
        return tf.TensorSpec(shape, tf.as_dtype(self.example.dtype), name=self.name)


@dataclass(frozen=True)
class Signature:
    """Named function that a SavedModel offers to clients, with its inputs."""

    function: Callable[..., Outputs]
    """Function that takes inputs as keyword arguments and returns outputs by name. All its inputs
    with rows have the same number of rows."""
    inputs: tuple[Input, ...]
    """Inputs of the function; the first one with rows decides the number of rows."""

    @property
    def specs(self) -> list[tf.TensorSpec]:
        """Specs of the inputs in order."""
        return [each.spec for each in self.inputs]

    def endpoint(self, limit: int) -> Callable[..., Outputs]:
        """Make a function for export that takes inputs by position and checks them.

        Args:
            limit: Maximum number of rows.
        """

        def answer(*tensors: Any) -> Outputs:
            values = _check(self.inputs, tensors, limit)
            names = (each.name for each in self.inputs)
            return self.function(**dict(zip(names, values, strict=True)))

        # Set a Python signature: TensorFlow saves its defaults for gRPC clients.
        answer.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [_parameter(each) for each in self.inputs]
        )
        return answer


def _parameter(each: Input) -> inspect.Parameter:
    empty = inspect.Parameter.empty
    default = empty if each.default is None else tf.constant(each.default)
    return inspect.Parameter(each.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)


def require(value: Any, fulfilled: Any, rule: str, received: Any) -> Any:
    """Return a value that the graph computes only if a rule is fulfilled.

    Otherwise the request ends with INVALID_ARGUMENT; the message is the rule and what was received.
    """
    message = tf.strings.join([rule, " Received: ", received])
    with tf.control_dependencies([tf.raw_ops.Assert(condition=fulfilled, data=[message])]):
        return tf.identity(value)


def _check(inputs: Sequence[Input], tensors: Sequence[Any], limit: int) -> list[Any]:
    """Check tensors by the rules of their inputs, and repeat a single row for all rows."""
    # Check in the graph, because servers do not check shapes against the signature.
    pairs = zip(inputs, tensors, strict=True)
    values = [_check_values(each, _check_shape(each, tensor)) for each, tensor in pairs]
    with_rows = [index for index, each in enumerate(inputs) if each.has_rows]
    for index in with_rows:
        first = inputs[with_rows[0]].name
        own = tf.shape(values[index])[0]
        if index == with_rows[0]:
            rows, fulfilled = own, (own >= 1) & (own <= limit)
            rule = f"`{first}` must have 1 to {limit} rows."
        else:
            fulfilled = (own == 1) | (own == rows)
            rule = f"`{inputs[index].name}` must have one row, or as many as `{first}`."
        value = require(values[index], fulfilled, rule, tf.strings.as_string(own))
        values[index] = tf.broadcast_to(value, tf.concat([[rows], tf.shape(value)[1:]], 0))
    return values


def _check_shape(each: Input, tensor: Any) -> Any:
    # Wrap the tensor to hide its static shape. Otherwise TensorFlow concludes at export that the
    # checks of the shape are always true, and drops them.
    wrapped = tf.raw_ops.OptionalFromValue(components=[tensor])
    [tensor] = tf.raw_ops.OptionalGetValue(
        optional=wrapped, output_types=[tensor.dtype], output_shapes=[None]
    )
    shape, rank = tf.shape(tensor), each.example.ndim
    # Pad to the expected rank: comparing vectors of different lengths fails with another error.
    sizes = tf.concat([shape, tf.fill([rank], -1)], 0)[1:rank]
    right = (tf.size(shape) == rank) & tf.reduce_all(sizes == list(each.example.shape[1:]))
    rule = f"`{each.name}` must be a single number."
    if each.has_rows:
        text = "".join(f", {size}" for size in each.example.shape[1:]) or ","
        rule = f"`{each.name}` must have the shape (rows{text})."
    received = tf.strings.format("the shape {}", shape, summarize=-1)
    value = require(tensor, right, rule, received)
    # Restore the static shape that wrapping removed: layers need it.
    return tf.reshape(value, (-1, *each.example.shape[1:]) if each.has_rows else ())


def _check_values(each: Input, value: Any) -> Any:
    if np.issubdtype(each.example.dtype, np.floating):
        right, rule = tf.math.is_finite(value), f"`{each.name}` must be finite."
    else:
        right = (value >= each.low) & (value <= each.high)
        rule = f"`{each.name}` must be {each.low} to {each.high}."
    wrong = tf.boolean_mask(tf.reshape(value, [-1]), tf.reshape(~right, [-1]))[:MAX_SHOWN]
    received = tf.strings.reduce_join(tf.strings.as_string(wrong), separator=", ")
    return require(value, tf.reduce_all(right), rule, received)
