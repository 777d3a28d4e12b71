"""Measure the shift between two sets of pictures from their reports."""

from __future__ import annotations

import bisect

import numpy as np

from pipeline.data.checking.moments import frechet_distance
from pipeline.data.checking.report import Shift, Survey, rounded
from pipeline.data.checking.survey import SAMPLE

ONE_LEVEL = 1.0
"""Lower bound on a set's standard deviation, of 255 levels: blank pictures have none."""
UNLABELLED = "unlabelled pictures"


def shift(previous: Survey, current: Survey) -> Shift:
    """Measure the shift from a previous report to the current one."""
    before = previous.features.moments(previous.readable)
    spread = max(float(np.sqrt(np.trace(before.covariance))), ONE_LEVEL / 255)
    distance = frechet_distance(before, current.features.moments(current.readable))
    # Distances between random choices of n and m pictures grow as √(1/n + 1/m); the halves of the
    # previous set are of n/2 each.
    chance = np.sqrt((1 + previous.readable / max(1, current.readable)) / 4)
    deviations = np.maximum(previous.colours.std, ONE_LEVEL)
    red, green, blue = rounded(
        (np.array(current.colours.mean) - previous.colours.mean) / deviations
    )
    return Shift(
        previous=previous.source,
        colour=(red, green, blue),
        class_shares=_total_variation(_shares(previous), _shares(current)),
        new_classes=_missing(current, previous),
        vanished_classes=_missing(previous, current),
        features=distance / spread,
        features_by_chance=float(previous.features.halves_distance * chance / spread),
        new_pictures=_share_missing(current, previous),
        vanished_pictures=_share_missing(previous, current),
    )


def _shares(survey: Survey) -> dict[str, float]:
    # Pictures without a class count as one, so that lost labels are a shift too.
    counts = {**survey.classes, UNLABELLED: survey.unlabelled}
    return {name: count / max(1, survey.readable) for name, count in counts.items()}


def _total_variation(one: dict[str, float], other: dict[str, float]) -> float:
    # Sorted, because a sum of floats depends on its order, and that of a set changes.
    names = sorted(one.keys() | other.keys())
    return sum(abs(one.get(name, 0) - other.get(name, 0)) for name in names) / 2


def _missing(survey: Survey, other: Survey) -> tuple[str, ...]:
    return tuple(name for name in survey.classes if name not in other.classes)


def _share_missing(survey: Survey, other: Survey) -> float:
    """Estimate the share of a set's contents that another set lacks, from both samples."""
    # A full sample holds all contents up to its last hash and none beyond, so only hashes up to
    # which both are complete tell; they are a random choice.
    known = min(_end(survey), _end(other))
    contents = survey.content_sample[: bisect.bisect_right(survey.content_sample, known)]
    others = set(other.content_sample)
    return sum(content not in others for content in contents) / max(1, len(contents))


def _end(survey: Survey) -> float:
    return survey.content_sample[-1] if len(survey.content_sample) == SAMPLE else float("inf")
