"""Mean over the batches of all replicas, for losses where a sample depends on other samples."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def mean_over_replicas(values: Any) -> Any:
    """Average values over all replicas, any shape → `()`.

    Call this within `strategy.run`; elsewhere it is the plain mean. If each replica divides its
    loss by the number of replicas, gradients equal those of the mean over the global batch.
    """
    mean = tf.reduce_mean(values)
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return mean
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, mean)
