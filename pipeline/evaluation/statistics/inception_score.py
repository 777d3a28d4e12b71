"""The Inception score: how sure a classifier is of each image, and how many classes it finds.

Source: arXiv:1606.03498, section 4.
"""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr

from pipeline.errors import UserError
from pipeline.evaluation.statistics.arrays import Array, checked_features
from pipeline.evaluation.statistics.estimate import Estimate
from pipeline.evaluation.statistics.intervals import of_mean

SPLITS = 10


def inception_score(probabilities: Array, *, seed: int, splits: int = SPLITS) -> Estimate:
    """`exp(mean KL(p(y|x) ‖ mean p(y|x)))`, from 1 to the number of classes: the mean over splits.

    The interval is Student's for that mean: splits share no image.

    Args:
        probabilities: `(n, classes)`, each row a distribution.
        seed: Seed of the order in which images are dealt out to splits; labelled ones may come
            sorted.
        splits: Number of splits.

    Raises:
        UserError: If a row is no distribution, or a split would have no image.

    Source: arXiv:1606.03498, section 4. The official code splits in the order of the images.
    """
    probabilities = checked_features(probabilities, "probabilities", least=splits)
    sums = probabilities.sum(1, dtype=np.float64)
    if probabilities.min() < 0 or abs(sums - 1).max() > 1e-3:
        raise UserError(
            "`probabilities` must be at least 0, and 1 in sum for each image. "
            f"Received: sums from {sums.min():g} to {sums.max():g}, least {probabilities.min():g}"
        )
    order = np.random.default_rng(seed).permutation(len(probabilities))
    return of_mean(
        np.array(
            [
                _score(probabilities[part].astype(np.float64))
                for part in np.array_split(order, splits)
            ]
        )
    )


def _score(probabilities: Array) -> float:
    return float(np.exp(rel_entr(probabilities, probabilities.mean(0)).sum(1).mean()))
