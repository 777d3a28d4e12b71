"""Section `alarms` of the configuration: bounds on training metrics, and actions beyond them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.section import Count, Images, Rate, Section

Action = Literal["ignore", "warn", "stop", "roll_back"]
TimedAction = Literal["ignore", "warn", "stop"]
"""Actions of alarms that depend on the machine. `roll_back` is missing: other workers may not see
the alarm, and would not roll back."""


class AlarmsConfig(Section):
    """Alarms of a run: their bounds, and the action when a bound is passed.

    Actions: `ignore`; `warn` logs a line when an alarm begins and when it ends; `stop` ends the run
    with exit status 3; `roll_back` continues from a checkpoint before the fault with other
    random draws and a lower learning rate. docs/alarms.md explains when to use which.
    """

    collapse: Action = "warn"
    """Action when all fakes look alike."""
    collapse_diversity: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Minimum diversity of fakes, as a share of the diversity of reals. Diversity is 1 minus the
    mean MS-SSIM of pairs, measured every `run.sample_images`; one bad measurement is enough."""
    saturation: Action = "warn"
    """Action when the discriminator separates so well that the generator learns nothing."""
    saturation_separation: Rate = 6.0
    """Maximum distance between the mean scores of reals and fakes, in standard deviations."""
    penalty_norm: Action = "warn"
    """Action when the norm of the discriminator's gradient, at mixes of reals and fakes, is far
    from 1, the target of the gradient penalty."""
    penalty_norm_distance: Rate = 0.75
    """Maximum distance of the mean norm from 1. With `objective.penalty=one_sided` only norms above
    1 count; with `zero_centred` and `none` the norm is not watched."""
    exploding_gradients: Action = "warn"
    """Action when the gradient of a network is too large."""
    exploding_norm: Rate = 1000.0
    """Maximum norm of the gradient of a network, before clipping."""
    vanishing_gradients: Action = "warn"
    """Action when the gradient of a network is close to zero."""
    vanishing_norm: Rate = 1e-4
    """Minimum norm of the gradient of a network."""
    non_finite: Literal["stop", "roll_back"] = "stop"
    """Action when a tensor is NaN or infinite; training cannot continue from there."""
    throughput: TimedAction = "warn"
    """Action when training has become slow."""
    throughput_share: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Minimum throughput in images per second, as a share of the median of the phase so far."""
    starvation: TimedAction = "warn"
    """Action when training waits for images."""
    starvation_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Maximum share of the time that training may wait for batches."""
    starvation_seconds: Rate = 600.0
    """Maximum seconds to wait for one batch. The alarm is raised during the wait."""
    patience: Count = 3
    """Number of log entries in a row beyond a bound that raise an alarm; as many within the bound
    end it."""
    roll_back_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Factor by which each roll back multiplies the learning rate."""
    most_roll_backs: Images = 3
    """Maximum number of roll backs; one more stops the run instead."""
