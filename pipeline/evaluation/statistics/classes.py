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
from pipeline.evaluation.statistics.frechet import advice, fid_of, moments
from pipeline.evaluation.statistics.intervals import Estimate, of_share

ITERATIONS = 1000


class ClassDistance(NamedTuple):
    """Numbers of fakes and reals of a class, and their FID.

    Args:
        images: Number of fakes.
        references: Number of reals.
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
    """Estimate the accuracy on reals of a logistic regression that was trained on fakes only.

    Features are `(n, dimensions)`, labels whole numbers `(n,)`. The interval is Wilson's for this
    classifier; it ignores the chance in training it.

    Raises:
        UserError: if all fakes have one class, or shapes do not match.

    Source: arXiv:1905.10887, which trains a ResNet on the images themselves.
    """
    fakes, fake_labels, reals, real_labels = _checked(fakes, fake_labels, reals, real_labels)
    if len(classes := np.unique(fake_labels)) < 2:
        raise UserError(
            f"`fake_labels` must name two classes or more. Received: {classes.tolist()}"
        )
    # Standardised, so that the weight of 1 on `‖w‖² / 2` does not depend on the features' scale.
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
    """Compute FID between fakes and reals of each class of the reals, in the order of labels.

    Raises:
        UserError: if shapes do not match.
    """
    fakes, fake_labels, reals, real_labels = _checked(fakes, fake_labels, reals, real_labels)
    return {
        int(label): _distance(fakes[fake_labels == label], reals[real_labels == label])
        for label in np.unique(real_labels)
    }


def _checked(
    fakes: Array, fake_labels: Array, reals: Array, real_labels: Array
) -> tuple[Array, Array, Array, Array]:
    fakes = checked_features(fakes, "fakes")
    reals = checked_features(reals, "reals", like=fakes)
    return (
        fakes,
        checked_labels(fake_labels, "fake_labels", len(fakes)),
        reals,
        checked_labels(real_labels, "real_labels", len(reals)),
    )


def _distance(fakes: Array, reals: Array) -> ClassDistance:
    fewer = min(len(fakes), len(reals))
    # A covariance needs two images.
    fid = fid_of(moments([fakes]), moments([reals])) if fewer > 1 else None
    return ClassDistance(len(fakes), len(reals), fid, advice(fewer, reals.shape[1]))
