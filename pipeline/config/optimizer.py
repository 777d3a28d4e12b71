"""Section `optimizer`: Adam, learning rates and the moving average."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.section import Rate, Section, Side


class OptimizerConfig(Section):
    """Adam, reset at both ends of every fade, and the moving average of the generator."""

    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of Adam's first moment."""
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of Adam's second moment."""
    epsilon: Rate = 1e-8
    """Added to the root of Adam's second moment."""
    discriminator_rate_factor: Rate = 1.0
    """The discriminator's step size over the generator's, which is `schedule.learning_rate`."""
    frozen_from: Annotated[Side, Field(ge=8)] | None = None
    """Blocks of the discriminator from this resolution on are not trained, None for all are: for a
    run of one size that starts from another's weights (FreezeD)."""
    clip_norm: Rate | None = None
    """Largest norm of a network's whole gradient over all replicas; longer ones are shortened."""
    average_half_life: Rate = 10_000.0
    """Images after which a generator's share in the average has halved."""
    average_decay: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Decay of the average per step (ProGAN: 0.999), in place of the half-life."""
