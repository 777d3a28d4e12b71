"""Orthogonal regularisation: filters of a layer should point in different directions.

Source: arXiv:1809.11096 (BigGAN), equation 3, which leaves the filters' lengths free. Ours takes
the weights after they are scaled for the equalized learning rate, as layers use them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf


def overlap(kernel: Any) -> Any:
    """Penalise a kernel `(…, inputs, filters)` by `‖WᵀW ⊙ (1 - I)‖²`; W has a column per filter."""
    filters = kernel.shape[-1]
    # Compute penalties in float32 under every precision policy.
    columns = tf.reshape(tf.cast(kernel, tf.float32), (-1, filters))
    # With more filters than rows, use `‖WWᵀ‖² - Σ ‖column‖⁴`: equal, with a smaller matrix.
    if filters > columns.shape[0]:
        gram = tf.matmul(columns, columns, transpose_b=True)
        lengths = tf.reduce_sum(tf.square(columns), axis=0)
        return tf.reduce_sum(tf.square(gram)) - tf.reduce_sum(tf.square(lengths))
    gram = tf.matmul(columns, columns, transpose_a=True)
    return tf.reduce_sum(tf.square(tf.linalg.set_diag(gram, tf.zeros((filters,)))))


def total_overlap(kernels: Iterable[Any]) -> Any:
    """Sum `overlap` over the kernels of a network."""
    return tf.add_n([overlap(kernel) for kernel in kernels])
