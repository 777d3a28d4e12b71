"""Scores of labelled models: accuracy of a classifier trained on fakes, and FID per class."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.errors import UserError
from pipeline.evaluation.statistics.arrays import Array, check_features, check_labels
from pipeline.evaluation.statistics.frechet import advice, fid_of, moments
from pipeline.evaluation.statistics.intervals import Estimate, estimate_share

ITERATIONS = 1000  # Maximum number of steps to fit the classifier.


class ClassDistance(NamedTuple):
    """FID between fakes and reals of one class."""

    images: int  # Number of fakes
    references: int  # Number of reals
    fid: float | None  # FID; None if there are fewer than two fakes or reals
    advice: str | None  # Warning against trusting the FID, or None


def classification_accuracy(
    fakes: Array, fake_labels: Array, reals: Array, real_labels: Array
) -> Estimate:
    """Train a logistic regression on fakes only, and estimate its accuracy on reals.

    Features are `(n, dimensions)`, labels integers `(n,)`. The interval is Wilson's. It ignores
    that training on other fakes would give another classifier.

    Raises:
        UserError: if all fakes have one class, or shapes do not match.

    Source: arXiv:1905.10887, which trains a ResNet on the images, not on features.
    """
    fakes, fake_labels, reals, real_labels = _check(fakes, fake_labels, reals, real_labels)
    if len(classes := np.unique(fake_labels)) < 2:
        raise UserError(
            f"`fake_labels` must name two classes or more. Received: {classes.tolist()}"
        )
    # Standardise, so that the L2 penalty of weight 1 does not depend on the features' scale.
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=ITERATIONS))
    with warnings.catch_warnings():
        # Accept the result after `ITERATIONS` steps: more steps would hardly change predictions.
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(fakes.astype(np.float64), fake_labels)
    correct = classifier.predict(reals.astype(np.float64)) == real_labels
    return estimate_share(int(correct.sum()), len(reals))


def frechet_by_class(
    fakes: Array, fake_labels: Array, reals: Array, real_labels: Array
) -> dict[int, ClassDistance]:
    """Compute FID for each class that the reals have, by label, ascending.

    Raises:
        UserError: if shapes do not match.
    """
    fakes, fake_labels, reals, real_labels = _check(fakes, fake_labels, reals, real_labels)
    return {
        int(label): _distance(fakes[fake_labels == label], reals[real_labels == label])
        for label in np.unique(real_labels)
    }


def _check(
    fakes: Array, fake_labels: Array, reals: Array, real_labels: Array
) -> tuple[Array, Array, Array, Array]:
    fakes = check_features(fakes, "fakes")
    reals = check_features(reals, "reals", like=fakes)
    return (
        fakes,
        check_labels(fake_labels, "fake_labels", len(fakes)),
        reals,
        check_labels(real_labels, "real_labels", len(reals)),
    )


def _distance(fakes: Array, reals: Array) -> ClassDistance:
    fewer = min(len(fakes), len(reals))
    # A covariance needs at least two images.
    fid = fid_of(moments([fakes]), moments([reals])) if fewer > 1 else None
    return ClassDistance(len(fakes), len(reals), fid, advice(fewer, reals.shape[1]))
