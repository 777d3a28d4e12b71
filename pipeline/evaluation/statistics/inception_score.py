"""Inception score: certainty of a classifier per image, and variety of classes."""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr

from pipeline.errors import UserError
from pipeline.evaluation.statistics.arrays import Array, checked_features
from pipeline.evaluation.statistics.intervals import Estimate, of_mean

SPLITS = 10


def inception_score(probabilities: Array, *, seed: int, splits: int = SPLITS) -> Estimate:
    """Compute `exp(mean KL(p(y|x) ‖ mean p(y|x)))`, 1 to the number of classes, over splits.

    The value is the mean over splits, of class probabilities `(n, classes)`.

    Raises:
        UserError: if a row is not a distribution, or a split would have no image.

    Source: arXiv:1606.03498, section 4. The official code splits in the order of the images.
    """
    probabilities = checked_features(probabilities, "probabilities", least=splits)
    sums = probabilities.sum(1, dtype=np.float64)
    if probabilities.min() < 0 or abs(sums - 1).max() > 1e-3:
        raise UserError(
            "`probabilities` must be at least 0, and 1 in sum for each image. "
            f"Received: sums from {sums.min():g} to {sums.max():g}, least {probabilities.min():g}"
        )
    # Dealt out at random, because images may be sorted by label.
    order = np.random.default_rng(seed).permutation(len(probabilities))
    parts = np.array_split(order, splits)
    # Student's interval, as splits share no image.
    return of_mean(np.array([_score(probabilities[part].astype(np.float64)) for part in parts]))


def _score(probabilities: Array) -> float:
    # `rel_entr` has 0 log 0 = 0, where a product would give NaN.
    return float(np.exp(rel_entr(probabilities, probabilities.mean(0)).sum(1).mean()))
