"""Thresholds of alarms: readings with their bounds, and streaks of bad readings."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config import AlarmsConfig

EARLIER_RATES = 5
"""Minimum number of log entries in a phase, before throughput is compared with their median."""


@dataclass(frozen=True)
class Reading:
    """Measurement with its bound."""

    alarm: str  # Alarm that it may raise: the name of its action in the section `alarms`
    quantity: str  # Name of the measured quantity
    value: float  # Measured value
    bound: float  # Bound of the value
    at_least: bool = False  # True if the bound is a minimum, false if it is a maximum
    at_once: bool = False  # True if one reading is enough for the alarm to begin or end

    @property
    def bad(self) -> bool:
        """True if the value is beyond the bound."""
        return self.value < self.bound if self.at_least else self.value > self.bound

    def __str__(self) -> str:
        limit = "least" if self.at_least else "most"
        return f"`{self.quantity}` must be at {limit} {self.bound:.4g}. Received: {self.value:.4g}"


def timing_readings(
    rate: float,
    earlier: Sequence[float],
    data_wait: float,
    longest_wait: float,
    settings: AlarmsConfig,
) -> list[Reading]:
    """Make the readings of throughput and starvation.

    Args:
        rate: Images per second since the last log entry, 0 if unknown.
        earlier: Images per second at earlier entries of the phase.
        data_wait: Share of the time since the last log entry that went into waiting for batches.
        longest_wait: Longest wait for one batch in that time, in seconds.
        settings: Bounds.
    """
    readings = []
    if longest_wait > settings.starvation_seconds:
        waited = "seconds without a batch"
        readings.append(
            Reading("starvation", waited, longest_wait, settings.starvation_seconds, at_once=True)
        )
    # The rate is 0 until a step has been counted; the first of a phase, which compiles, is not.
    elif rate:
        readings.append(Reading("starvation", "data_wait", data_wait, settings.starvation_share))
    if rate and len(earlier) >= EARLIER_RATES:
        minimum = settings.throughput_share * statistics.median(earlier)
        readings.append(Reading("throughput", "images_per_second", rate, minimum, at_least=True))
    return readings


@dataclass(frozen=True)
class Streak:
    """State of an alarm: raised or not, and the readings in a row that contradict it."""

    standing: bool = False  # True if the alarm is raised
    against: int = 0
    """Number of newest readings in a row that are bad while the alarm is not raised, or good while
    it is."""

    @property
    def quiet(self) -> bool:
        """True if the alarm is neither raised nor close to it."""
        return not self.standing and not self.against

    def after(self, *, bad: bool, patience: int) -> Streak:
        """Return the state after one more reading; `patience` contradictions in a row change it."""
        if bad == self.standing:
            return Streak(self.standing)
        if self.against + 1 >= patience:
            return Streak(bad)
        return Streak(self.standing, self.against + 1)
