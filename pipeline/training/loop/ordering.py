"""The order in which a compiled step reads and writes its variables: the one it is written in."""

from __future__ import annotations

import tensorflow as tf


def keep_order() -> None:
    """Keep Grappler from taking away the order of a read and a write; for the whole process.

    TensorFlow traces a step so that a variable is not written before all earlier reads. In 2.21 the
    dependency optimiser removes that order where it sees no use of it: the critic's update of the
    bias of `4x4_dense0`, whose gradient does not depend on the penalty, could then come before the
    penalty read it. On a busy machine it did, about once in 50,000 steps, and two runs were no
    longer the same. `tests/pipeline/training/loop/test_ordering.py` looks at the optimised graphs.
    """
    tf.config.optimizer.set_experimental_options({"dependency_optimization": False})
