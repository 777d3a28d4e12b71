"""Inception score: high if a classifier is certain of each image, and if the classes vary."""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr

from pipeline.errors import UserError
from pipeline.evaluation.statistics.arrays import Array, check_features
from pipeline.evaluation.statistics.intervals import Estimate, estimate_mean

SPLITS = 10  # Number of parts of the images, each of which gets a score.


def inception_score(probabilities: Array, *, seed: int, splits: int = SPLITS) -> Estimate:
    """Average `exp(mean KL(p(y|x) ‖ mean p(y|x)))` over random splits of the images.

    `probabilities` are `p(y|x)`, `(n, classes)`. The value is from 1 to the number of classes.

    Raises:
        UserError: if a row is not a distribution, or a split would have no image.

    Source: arXiv:1606.03498, section 4. The official code splits without shuffling.
    """
    probabilities = check_features(probabilities, "probabilities", min_rows=splits)
    sums = probabilities.sum(1, dtype=np.float64)
    if probabilities.min() < 0 or abs(sums - 1).max() > 1e-3:
        raise UserError(
            "`probabilities` must be at least 0, and 1 in sum for each image. "
            f"Received: sums from {sums.min():g} to {sums.max():g}, least {probabilities.min():g}"
        )
    # Shuffle before the split, because images may be sorted by label.
    order = np.random.default_rng(seed).permutation(len(probabilities))
    parts = np.array_split(order, splits)
    # Student's interval is right here: the splits share no image.
    return estimate_mean(
        np.array([_score(probabilities[part].astype(np.float64)) for part in parts])
    )


def _score(probabilities: Array) -> float:
    # Use `rel_entr`, which takes 0 log 0 as 0; a product would give NaN.
    return float(np.exp(rel_entr(probabilities, probabilities.mean(0)).sum(1).mean()))
