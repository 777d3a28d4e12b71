"""Section `alarms`: bounds and actions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.section import Count, Images, Rate, Section

Action = Literal["ignore", "warn", "stop", "roll_back"]
TimedAction = Literal["ignore", "warn", "stop"]
"""For what depends on the machine: workers of a job would not all go back."""


class AlarmsConfig(Section):
    """Alarms of a run: what is measured, its bounds, and the action when one is passed.

    Actions: `ignore`; `warn`, a line when an alarm begins and one when it ends; `stop`, the run
    ends with exit status 3; `roll_back`, it goes back to a checkpoint from before the fault and
    then on with other draws and a lower learning rate. docs/alarms.md has the reasons.
    """

    collapse: Action = "warn"
    """All fakes look alike."""
    collapse_diversity: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Least diversity of fakes as a share of that of reals, where diversity is 1 minus the mean
    MS-SSIM of pairs; measured every `run.sample_images`, and one measurement is enough."""
    saturation: Action = "warn"
    """The discriminator tells reals from fakes so well that the generator learns nothing."""
    saturation_separation: Rate = 6.0
    """Most standard deviations between the mean scores of reals and of fakes."""
    penalty_norm: Action = "warn"
    """The discriminator's gradient at mixed images is not as long as the penalty asks for."""
    penalty_norm_distance: Rate = 0.75
    """Most distance of the mean norm from 1; with `objective.penalty=one_sided` above 1 only, with
    `zero_centred` and `none` it is not watched."""
    exploding_gradients: Action = "warn"
    """A network's gradient is too long."""
    exploding_norm: Rate = 1000.0
    """Greatest norm of a network's gradient, before it is clipped."""
    vanishing_gradients: Action = "warn"
    """A network's gradient is next to nothing."""
    vanishing_norm: Rate = 1e-4
    """Least norm of a network's gradient."""
    non_finite: Literal["stop", "roll_back"] = "stop"
    """A tensor is not finite. No run can go on from there."""
    throughput: TimedAction = "warn"
    """Training has become slow."""
    throughput_share: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Least images per second, as a share of the median of the phase so far."""
    starvation: TimedAction = "warn"
    """Training waits for images."""
    starvation_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Greatest share of the time that is spent waiting for the next batch."""
    starvation_seconds: Rate = 600.0
    """Longest time to wait for one batch; told, or the run stopped, while it still waits."""
    patience: Count = 3
    """Entries of the log in a row that have to be beyond a bound for an alarm to begin, or within
    it for the alarm to end."""
    roll_back_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Factor on the learning rate of all that comes after a roll back."""
    most_roll_backs: Images = 3
    """Roll backs after which the next one stops the run instead."""
