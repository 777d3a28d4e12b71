"""Distance between the scores of reals and of fakes, in their own standard deviations."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

LEAST_SPREAD = 1e-3
"""Smallest spread, as a share of the scores' size: a float32 mean of squares resolves no less."""


def with_separation(metrics: dict[str, Any]) -> dict[str, Any]:
    """The metrics with `separation` in place of the mean squares of scores, if those are there.

    `(r̄ - f̄) / σ`, where σ² is the mean of the variances of both kinds. From means alone, so it is
    that of the global batch, however that was shared.

    Args:
        metrics: `real_score` and `fake_score`, mean scores, `real_square` and `fake_square`.
    """
    others = {name: v for name, v in metrics.items() if name not in ("real_square", "fake_square")}
    if len(others) == len(metrics):
        return others
    real, fake = metrics["real_score"], metrics["fake_score"]
    squares = (metrics["real_square"] + metrics["fake_square"]) / 2.0
    variance = squares - (tf.square(real) + tf.square(fake)) / 2.0
    spread = tf.sqrt(tf.maximum(variance, LEAST_SPREAD**2 * squares))
    return others | {"separation": tf.math.divide_no_nan(real - fake, spread)}
