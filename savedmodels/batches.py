"""Apply a function to rows in batches of one size, within a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

BATCH = 16  # constant, because the last bits of an image depend on the batch size


def rows_in_batches(
    function: Callable[..., Any], columns: Mapping[str, Any], row: tf.TensorSpec
) -> Any:
    """Apply a function to rows in batches of `BATCH`; the last batch is filled up.

    Args:
        function: Function of a batch of each column, by name.
        columns: Columns by name, all with the same number of rows, at least 1.
        row: Shape and dtype of the function's result for one row.
    """
    count = tf.shape(next(iter(columns.values())))[0]
    batches = (count + BATCH - 1) // BATCH
    # Filled up with repeated rows, which are surely valid.
    places = tf.range(batches * BATCH) % count
    parts = {
        name: tf.reshape(tf.gather(column, places), (batches, BATCH, *column.shape[1:]))
        for name, column in columns.items()
    }
    found = tf.map_fn(
        lambda part: function(**part),
        parts,
        fn_output_signature=tf.TensorSpec((BATCH, *row.shape), row.dtype),
        # Batches in parallel would multiply the memory of a request.
        parallel_iterations=1,
    )
    return tf.reshape(found, (-1, *row.shape))[:count]
