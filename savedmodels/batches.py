"""Rows through a function in batches of one size, in a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

BATCH = 16
"""Images of seeds are always made in batches of so many, as their last bits depend on that."""


def in_batches(function: Callable[..., Any], columns: Mapping[str, Any], row: tf.TensorSpec) -> Any:
    """Apply a function to rows, always `BATCH` of them, filled up.

    One batch is in memory at a time.

    Args:
        function: Function of a batch of each column, by name.
        columns: Each with as many rows, at least one.
        row: Shape and dtype of what it gives for one.
    """
    count = tf.shape(next(iter(columns.values())))[0]
    batches = (count + BATCH - 1) // BATCH
    places = tf.range(batches * BATCH) % count
    parts = {
        name: tf.reshape(tf.gather(column, places), (batches, BATCH, *column.shape[1:]))
        for name, column in columns.items()
    }
    found = tf.map_fn(
        lambda part: function(**part),
        parts,
        fn_output_signature=tf.TensorSpec((BATCH, *row.shape), row.dtype),
        parallel_iterations=1,
    )
    return tf.reshape(found, (-1, *row.shape))[:count]
