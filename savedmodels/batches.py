"""Map rows in batches of a constant size within a graph, so that an image has the same bits.

The signatures in seeds.py use this: they promise the images of `growgan generate`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

BATCH = 16  # Rows in a batch; constant, because the last bits of an image depend on the batch size.


def map_in_batches(
    function: Callable[..., Any], columns: Mapping[str, Any], row: tf.TensorSpec
) -> Any:
    """Apply a function to rows in batches of `BATCH`; the last batch is padded.

    Args:
        function: Function of a batch of each column, by keyword; returns one result per row.
        columns: Tensors by name, all with the same number of rows (first axis), at least 1.
        row: Shape and dtype of the function's result for one row.
    """
    count = tf.shape(next(iter(columns.values())))[0]
    batches = (count + BATCH - 1) // BATCH
    # Pad with repeated rows: they are valid, which zeros may not be.
    indices = tf.range(batches * BATCH) % count
    batched = {
        name: tf.reshape(tf.gather(column, indices), (batches, BATCH, *column.shape[1:]))
        for name, column in columns.items()
    }
    results = tf.map_fn(
        lambda batch: function(**batch),
        batched,
        fn_output_signature=tf.TensorSpec((BATCH, *row.shape), row.dtype),
        # Run one batch at a time: parallel batches would multiply the memory of a request.
        parallel_iterations=1,
    )
    return tf.reshape(results, (-1, *row.shape))[:count]
