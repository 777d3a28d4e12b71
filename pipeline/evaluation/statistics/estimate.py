"""A number that was estimated, and where it lies by chance."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval, or none.

    Args:
        value: The estimate.
        low: Lower end of the interval.
        high: Upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None
