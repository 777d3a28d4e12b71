"""Thresholds of alarms: measurements beside their bounds, and how many in a row raise an alarm.

A reading is there only if its numbers are: a penalty that is not paid has no norm.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config import AlarmsConfig

EARLIER_RATES = 5
"""Entries that a phase must have before one is slow among them."""


@dataclass(frozen=True)
class Reading:
    """One measurement.

    Args:
        alarm: Alarm that it may raise: the name of its action in the section `alarms`.
        quantity: Measured quantity.
        value: Value of it.
        bound: Bound for the value.
        at_least: Whether the bound is a least value, not a greatest.
        at_once: Whether one reading is enough for the alarm to begin or end.
    """

    alarm: str
    quantity: str
    value: float
    bound: float
    at_least: bool = False
    at_once: bool = False

    @property
    def bad(self) -> bool:
        """Return whether the value is beyond the bound."""
        return self.value < self.bound if self.at_least else self.value > self.bound

    def __str__(self) -> str:
        """The rule and what came."""
        limit = "least" if self.at_least else "most"
        return f"`{self.quantity}` must be at {limit} {self.bound:.4g}. Received: {self.value:.4g}"


def of_times(
    rate: float,
    earlier: Sequence[float],
    data_wait: float,
    longest_wait: float,
    settings: AlarmsConfig,
) -> list[Reading]:
    """Return the readings of throughput and of waiting for data.

    Args:
        rate: Images per second since the last entry, 0 if it is not known.
        earlier: The same of earlier entries of the phase.
        data_wait: Share of that time that was spent waiting for batches.
        longest_wait: Longest wait for one batch, in seconds.
        settings: The bounds.
    """
    readings = []
    if longest_wait > settings.starvation_seconds:
        waited = "seconds without a batch"
        readings.append(
            Reading("starvation", waited, longest_wait, settings.starvation_seconds, at_once=True)
        )
    elif rate:
        readings.append(Reading("starvation", "data_wait", data_wait, settings.starvation_share))
    if rate and len(earlier) >= EARLIER_RATES:
        least = settings.throughput_share * statistics.median(earlier)
        readings.append(Reading("throughput", "images_per_second", rate, least, at_least=True))
    return readings


@dataclass(frozen=True)
class Streak:
    """State of one alarm: raised or not, and how many readings in a row contradict that.

    Args:
        standing: Whether it stands.
        against: Newest readings in a row that are bad while it does not stand, or good while it
            does.
    """

    standing: bool = False
    against: int = 0

    @property
    def quiet(self) -> bool:
        """Return whether the alarm is neither raised nor close to it."""
        return not self.standing and not self.against

    def after(self, *, bad: bool, patience: int) -> Streak:
        """The streak after one more reading; the alarm turns after `patience` of them."""
        if bad == self.standing:
            return Streak(self.standing)
        if self.against + 1 >= patience:
            return Streak(bad)
        return Streak(self.standing, self.against + 1)
