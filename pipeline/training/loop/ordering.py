"""Order of reads and writes of variables in a compiled step."""

from __future__ import annotations

import tensorflow as tf


def keep_order() -> None:
    """Keep TensorFlow's graph optimiser (Grappler) from dropping this order, in all functions."""
    # TensorFlow traces a step so that a variable is written only after all earlier reads. In 2.21
    # the dependency optimiser removes this order where it sees no use of it. The bias of
    # `4x4_dense0`, whose gradient does not depend on the gradient penalty, could then be updated
    # before the penalty read it. About one step in 50,000 did so on a busy machine, and equal runs
    # differed.
    # `tests/pipeline/training/loop/test_ordering.py` checks the optimised graphs.
    tf.config.optimizer.set_experimental_options({"dependency_optimization": False})
