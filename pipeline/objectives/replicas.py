"""The mean over the batches of all replicas, for losses in which samples meet."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def mean_over_replicas(values: Any) -> Any:
    """The mean of `values` over every replica's, any shape → `()`.

    Called in a replica, as in `strategy.run`; elsewhere it is the plain mean. The gradient is that
    of the mean over the global batch, where each replica's loss is divided by the replica count.
    """
    mean = tf.reduce_mean(values)
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return mean
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, mean)
