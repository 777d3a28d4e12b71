"""Measure the shift between two sets of pictures from their reports, without the pictures."""

from __future__ import annotations

import bisect

import numpy as np

from pipeline.data.checking.moments import frechet_distance
from pipeline.data.checking.report import Shift, Survey, rounded
from pipeline.data.checking.survey import SAMPLE

ONE_LEVEL = 1.0
"""Lower bound on a set's standard deviation, in levels of 255; blank pictures would divide by 0."""
UNLABELLED = "unlabelled pictures"
"""Name of the pictures without a class, among the names of classes."""


def shift(previous: Survey, current: Survey) -> Shift:
    """Measure the shift from a previous set to the current one, given the reports of both."""
    before = previous.features.moments(previous.readable)
    spread = max(float(np.sqrt(np.trace(before.covariance))), ONE_LEVEL / 255)
    distance = frechet_distance(before, current.features.moments(current.readable))
    # Scale the measured distance between the previous set's halves: the distance between random
    # choices of n and m pictures is proportional to √(1/n + 1/m), and the halves have n/2 each.
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
    # Count pictures without a class as one class, so that lost labels are a shift.
    counts = {**survey.classes, UNLABELLED: survey.unlabelled}
    return {name: count / max(1, survey.readable) for name, count in counts.items()}


def _total_variation(one: dict[str, float], other: dict[str, float]) -> float:
    # Sort, because a sum of floats depends on its order, and the order of a Python set varies.
    names = sorted(one.keys() | other.keys())
    return sum(abs(one.get(name, 0) - other.get(name, 0)) for name in names) / 2


def _missing(survey: Survey, other: Survey) -> tuple[str, ...]:
    return tuple(name for name in survey.classes if name not in other.classes)


def _share_missing(survey: Survey, other: Survey) -> float:
    """Estimate the share of a set's contents that the other set lacks, from their samples."""
    # Compare only hashes up to which both samples are complete: a full sample has all contents up
    # to its largest hash, and none above. Hashes are random, so these contents are a fair sample.
    end = min(_complete_up_to(survey), _complete_up_to(other))
    contents = survey.content_sample[: bisect.bisect_right(survey.content_sample, end)]
    others = set(other.content_sample)
    return sum(content not in others for content in contents) / max(1, len(contents))


def _complete_up_to(survey: Survey) -> float:
    return survey.content_sample[-1] if len(survey.content_sample) == SAMPLE else float("inf")
