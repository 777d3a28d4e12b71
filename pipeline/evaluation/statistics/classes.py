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
from pipeline.evaluation.statistics.arrays import Array, checked_features, checked_labels
from pipeline.evaluation.statistics.estimate import Estimate
from pipeline.evaluation.statistics.frechet import advice, frechet_distance, moments
from pipeline.evaluation.statistics.intervals import of_share

ITERATIONS = 1000


class ClassDistance(NamedTuple):
    """Fréchet distance of a class.

    Args:
        images: Number of fakes of the class.
        references: Number of reals of the class.
        fid: FID; None if there are fewer than two fakes or reals.
        advice: Warning against trusting the FID, or None.
    """

    images: int
    references: int
    fid: float | None
    advice: str | None


def classification_accuracy(
    fakes: Array, fake_labels: Array, reals: Array, real_labels: Array
) -> Estimate:
    """Estimate the accuracy on reals of a classifier that was trained on fakes only.

    The classifier is a logistic regression with weight 1 on `‖w‖² / 2`, on features standardised by
    the fakes' means and deviations, after at most 1,000 steps of L-BFGS. The interval is Wilson's
    for this classifier; it ignores the chance in training it.

    Args:
        fakes: Features `(n, dimensions)`.
        fake_labels: Whole numbers `(n,)`.
        reals: Features `(m, dimensions)`.
        real_labels: Whole numbers `(m,)`.

    Raises:
        UserError: if all fakes have one class, or shapes do not match.

    Source: arXiv:1905.10887, which trains a ResNet on the images themselves.
    """
    fakes = checked_features(fakes, "fakes")
    reals = checked_features(reals, "reals", like=fakes)
    fake_labels = checked_labels(fake_labels, "fake_labels", len(fakes))
    real_labels = checked_labels(real_labels, "real_labels", len(reals))
    if len(classes := np.unique(fake_labels)) < 2:
        raise UserError(
            f"`fake_labels` must name two classes or more. Received: {classes.tolist()}"
        )
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=ITERATIONS))
    with warnings.catch_warnings():
        # The number of steps is part of the protocol, and further steps would change no class.
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(fakes.astype(np.float64), fake_labels)
    right = classifier.predict(reals.astype(np.float64)) == real_labels
    return of_share(int(right.sum()), len(reals))


def frechet_by_class(
    fakes: Array, fake_labels: Array, reals: Array, real_labels: Array
) -> dict[int, ClassDistance]:
    """Compute FID between fakes and reals of each class, in the order of labels.

    Args:
        fakes: Features `(n, dimensions)`.
        fake_labels: Whole numbers `(n,)`.
        reals: Features `(m, dimensions)`.
        real_labels: Classes of the reals, integers `(m,)`; these classes are scored.

    Raises:
        UserError: if shapes do not match.
    """
    fakes = checked_features(fakes, "fakes")
    reals = checked_features(reals, "reals", like=fakes)
    fake_labels = checked_labels(fake_labels, "fake_labels", len(fakes))
    real_labels = checked_labels(real_labels, "real_labels", len(reals))
    return {
        int(label): _distance(fakes[fake_labels == label], reals[real_labels == label])
        for label in np.unique(real_labels)
    }


def _distance(fakes: Array, reals: Array) -> ClassDistance:
    fewer = min(len(fakes), len(reals))
    # A covariance needs two images.
    fid = frechet_distance(moments([fakes]), moments([reals])) if fewer > 1 else None
    return ClassDistance(len(fakes), len(reals), fid, advice(fewer, reals.shape[1]))
