"""Orthogonal regularisation: filters of a layer should point in different directions.

Source: arXiv:1809.11096 (BigGAN), equation 3, which leaves the filters' lengths free. Ours applies
to the weights as the layers use them, after the scale of the equalized learning rate.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf


def overlap(kernel: Any) -> Any:
    """`‖WᵀW ⊙ (1 - I)‖²` of a kernel `(…, inputs, filters)` → `()`; W has a column per filter."""
    filters = kernel.shape[-1]
    # Penalties are float32 under every precision.
    columns = tf.reshape(tf.cast(kernel, tf.float32), (-1, filters))
    # With more filters than inputs the equal `‖WWᵀ‖² - Σ ‖column‖⁴` needs a smaller matrix.
    if filters > columns.shape[0]:
        gram = tf.matmul(columns, columns, transpose_b=True)
        lengths = tf.reduce_sum(tf.square(columns), axis=0)
        return tf.reduce_sum(tf.square(gram)) - tf.reduce_sum(tf.square(lengths))
    gram = tf.matmul(columns, columns, transpose_a=True)
    return tf.reduce_sum(tf.square(tf.linalg.set_diag(gram, tf.zeros((filters,)))))


def total_overlap(kernels: Iterable[Any]) -> Any:
    """Sum of `overlap` over the kernels of a network."""
    return tf.add_n([overlap(kernel) for kernel in kernels])
