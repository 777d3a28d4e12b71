"""Separation: distance between the scores of reals and fakes, in standard deviations."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

LEAST_SPREAD = 1e-3
"""Minimum of σ relative to the scores' root mean square; float32 means resolve no less."""


def with_separation(metrics: dict[str, Any]) -> dict[str, Any]:
    """Replace the mean squares of scores by `separation`, if the metrics have them.

    It is `(r̄ - f̄) / σ`, where σ² is the mean of the variances of reals and of fakes.
    """
    # Use means only: they are over the global batch, for any number of replicas.
    others = {name: v for name, v in metrics.items() if name not in ("real_square", "fake_square")}
    if len(others) == len(metrics):
        return others
    real, fake = metrics["real_score"], metrics["fake_score"]
    squares = (metrics["real_square"] + metrics["fake_square"]) / 2.0
    variance = squares - (tf.square(real) + tf.square(fake)) / 2.0
    spread = tf.sqrt(tf.maximum(variance, LEAST_SPREAD**2 * squares))
    return others | {"separation": tf.math.divide_no_nan(real - fake, spread)}
