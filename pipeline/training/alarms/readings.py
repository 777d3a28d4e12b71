"""What each alarm measures, against its bound: numbers in, readings out.

A reading is there only if its numbers are: a penalty that is not paid has no norm.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.config import AlarmsConfig, PenaltyName

EARLIER_RATES = 5
"""Entries that a phase must have before one is slow among them."""
_GRADIENTS = ("critic_gradient_norm", "generator_gradient_norm")


@dataclass(frozen=True)
class Reading:
    """One measurement.

    Args:
        alarm: That it may raise: the name of its action in the section `alarms`.
        quantity: What was measured.
        value: Of it.
        bound: For the value.
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
        """Whether the value is beyond the bound."""
        return self.value < self.bound if self.at_least else self.value > self.bound

    def __str__(self) -> str:
        """The rule and what came."""
        limit = "least" if self.at_least else "most"
        return f"`{self.quantity}` must be at {limit} {self.bound:.4g}. Received: {self.value:.4g}"


def of_entry(
    metrics: Mapping[str, float], settings: AlarmsConfig, penalty: PenaltyName
) -> list[Reading]:
    """What the metrics of a step say of gradients and scores.

    Args:
        metrics: As `pipeline.training.step.Step` gives them.
        settings: The bounds.
        penalty: What the gradient at mixed images is asked for.
    """
    norms = {name: metrics[name] for name in _GRADIENTS if name in metrics}
    readings = []
    if norms:
        longest, shortest = max(norms, key=norms.__getitem__), min(norms, key=norms.__getitem__)
        readings += [
            Reading("exploding_gradients", longest, norms[longest], settings.exploding_norm),
            Reading(
                "vanishing_gradients",
                shortest,
                norms[shortest],
                settings.vanishing_norm,
                at_least=True,
            ),
        ]
    if "separation" in metrics:
        apart = metrics["separation"]
        readings.append(Reading("saturation", "separation", apart, settings.saturation_separation))
    if "penalty_norm" in metrics and penalty in ("one_sided", "two_sided"):
        above = metrics["penalty_norm"] - 1.0
        readings.append(
            Reading(
                "penalty_norm",
                "distance of penalty_norm from 1",
                abs(above) if penalty == "two_sided" else max(above, 0.0),
                settings.penalty_norm_distance,
            )
        )
    return readings


def of_diversity(diversity: float, settings: AlarmsConfig) -> Reading:
    """What the diversity of fakes, as a share of that of reals, says of a collapse."""
    return Reading(
        "collapse",
        "diversity",
        diversity,
        settings.collapse_diversity,
        at_least=True,
        at_once=True,
    )


def of_times(
    rate: float,
    earlier: Sequence[float],
    data_wait: float,
    longest_wait: float,
    settings: AlarmsConfig,
) -> list[Reading]:
    """What the clock says.

    Args:
        rate: Images per second since the last entry, 0 if it is not known.
        earlier: The same of earlier entries of the phase.
        data_wait: Share of that time that was spent waiting for batches.
        longest_wait: For one batch, in seconds.
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
