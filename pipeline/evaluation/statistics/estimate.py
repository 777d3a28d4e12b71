"""Estimate of a number, with its interval."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """Estimated value, and its 95 % interval if there is one.

    Args:
        value: Estimated value.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    value: float
    low: float | None = None
    high: float | None = None
