"""A signature: a function, and inputs whose rules are checked in the graph itself.

A server hands over whatever shape a request has, so nothing may rest on the shapes of a signature.
An input that breaks a rule ends a request with INVALID_ARGUMENT and a line that states the rule.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

SHOWN = 3
"""Most wrong values of an input that an error tells of."""

Outputs = dict[str, Any]


@dataclass(frozen=True)
class Input:
    """One named input.

    Args:
        name: Name of the input.
        example: A valid value, whose dtype is the input's, and whose shape is, but for the number
            of rows. Whole numbers are int64, as those of JSON and Python are, others float32.
        low: Least value of a whole number.
        high: Largest value of a whole number.
        default: Value if gRPC clients of TensorFlow Serving leave it out, None if they may not.
    """

    name: str
    example: NDArray[Any]
    low: int = 0
    high: int = 0
    default: NDArray[Any] | None = None

    @property
    def has_rows(self) -> bool:
        """Return whether there are rows, one for each answer or one for all, or a single number."""
        return self.example.ndim > 0

    @property
    def spec(self) -> tf.TensorSpec:
        """With any number of rows."""
        shape = (None, *self.example.shape[1:]) if self.has_rows else ()
        return tf.TensorSpec(shape, tf.as_dtype(self.example.dtype), name=self.name)


@dataclass(frozen=True)
class Signature:
    """A named function of a SavedModel.

    Args:
        function: Function of the inputs by name, to named outputs. Of inputs with rows each has as
            many.
        inputs: Inputs of the function. The first one with rows gives their number.
    """

    function: Callable[..., Outputs]
    inputs: tuple[Input, ...]

    @property
    def specs(self) -> list[tf.TensorSpec]:
        """Return the specs of the inputs in order."""
        return [each.spec for each in self.inputs]

    def endpoint(self, limit: int) -> Callable[..., Outputs]:
        """The function behind the checks of its inputs, which come in order.

        Args:
            limit: Most rows of a request.
        """

        def answer(*tensors: Any) -> Outputs:
            values = _checked(self.inputs, tensors, limit)
            names = (each.name for each in self.inputs)
            return self.function(**dict(zip(names, values, strict=True)))

        # TensorFlow writes the defaults of a Python function into a SavedModel.
        answer.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [_parameter(each) for each in self.inputs]
        )
        return answer


def _parameter(each: Input) -> inspect.Parameter:
    empty = inspect.Parameter.empty
    default = empty if each.default is None else tf.constant(each.default)
    return inspect.Parameter(each.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)


def required(value: Any, fulfilled: Any, rule: str, received: Any) -> Any:
    """A value that is there only if a rule is fulfilled.

    Args:
        value: Any tensor.
        fulfilled: Whether the rule is.
        rule: A sentence.
        received: Received value, a string tensor.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs, if it is not.
    """
    told = tf.strings.join([rule, " Received: ", received])
    with tf.control_dependencies([tf.raw_ops.Assert(condition=fulfilled, data=[told])]):
        return tf.identity(value)


def _checked(inputs: Sequence[Input], tensors: Sequence[Any], limit: int) -> list[Any]:
    """Tensors that fulfil the rules of inputs; a single row is repeated for all."""
    pairs = zip(inputs, tensors, strict=True)
    values = [_with_values(each, _with_shape(each, tensor)) for each, tensor in pairs]
    with_rows = [place for place, each in enumerate(inputs) if each.has_rows]
    for place in with_rows:
        first = inputs[with_rows[0]].name
        own = tf.shape(values[place])[0]
        if place == with_rows[0]:
            rows, fulfilled = own, (own >= 1) & (own <= limit)
            rule = f"`{first}` must have 1 to {limit} rows."
        else:
            fulfilled = (own == 1) | (own == rows)
            rule = f"`{inputs[place].name}` must have one row, or as many as `{first}`."
        value = required(values[place], fulfilled, rule, tf.strings.as_string(own))
        values[place] = tf.broadcast_to(value, tf.concat([[rows], tf.shape(value)[1:]], 0))
    return values


def _with_shape(each: Input, tensor: Any) -> Any:
    # Wrapped and unwrapped, as the shape that the signature states is forgotten by that: otherwise
    # TensorFlow takes checks of it to be true before there is a request, and leaves them out.
    wrapped = tf.raw_ops.OptionalFromValue(components=[tensor])
    [tensor] = tf.raw_ops.OptionalGetValue(
        optional=wrapped, output_types=[tensor.dtype], output_shapes=[None]
    )
    shape, rank = tf.shape(tensor), each.example.ndim
    # As many sizes as there should be, as a comparison with more or fewer is an error of its own.
    sizes = tf.concat([shape, tf.fill([rank], -1)], 0)[1:rank]
    right = (tf.size(shape) == rank) & tf.reduce_all(sizes == list(each.example.shape[1:]))
    rule = f"`{each.name}` must be a single number."
    if each.has_rows:
        text = "".join(f", {size}" for size in each.example.shape[1:]) or ","
        rule = f"`{each.name}` must have the shape (rows{text})."
    received = tf.strings.format("the shape {}", shape, summarize=-1)
    value = required(tensor, right, rule, received)
    return tf.reshape(value, (-1, *each.example.shape[1:]) if each.has_rows else ())


def _with_values(each: Input, value: Any) -> Any:
    if np.issubdtype(each.example.dtype, np.floating):
        right, rule = tf.math.is_finite(value), f"`{each.name}` must be finite."
    else:
        right = (value >= each.low) & (value <= each.high)
        rule = f"`{each.name}` must be {each.low} to {each.high}."
    wrong = tf.boolean_mask(tf.reshape(value, [-1]), tf.reshape(~right, [-1]))[:SHOWN]
    received = tf.strings.reduce_join(tf.strings.as_string(wrong), separator=", ")
    return required(value, tf.reduce_all(right), rule, received)
