"""Readings for alarms from the metrics of synthesis: gradients, scores, penalty, diversity."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.config import AlarmsConfig, PenaltyName
from pipeline.training.alarms.thresholds import Reading

_GRADIENTS = ("critic_gradient_norm", "generator_gradient_norm")


def readings_of(
    metrics: Mapping[str, float], settings: AlarmsConfig, penalty: PenaltyName
) -> list[Reading]:
    """Make the readings whose metrics exist; `penalty` is the configured `objective.penalty`."""
    norms = {name: metrics[name] for name in _GRADIENTS if name in metrics}
    readings = []
    # Both networks share an alarm: read the one closer to the bound.
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
    # Read the norm only under penalties that pull it to 1; a one-sided one allows smaller norms.
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
    if "diversity" in metrics:
        readings.append(
            Reading(
                "collapse",
                "diversity",
                metrics["diversity"],
                settings.collapse_diversity,
                at_least=True,
                at_once=True,
            )
        )
    return readings
