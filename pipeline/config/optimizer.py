"""Section `optimizer` of the configuration: Adam, learning rates and the generator's EMA."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.section import Rate, Section, Side


class OptimizerConfig(Section):
    """Settings of Adam, which is reset at both ends of each fade, and of the generator's EMA."""

    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of Adam's first moment."""
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of Adam's second moment."""
    epsilon: Rate = 1e-8
    """Adam's epsilon, added to the root of the second moment."""
    discriminator_rate_factor: Rate = 1.0
    """Factor of the discriminator's learning rate beside `schedule.learning_rate` (TTUR)."""
    frozen_from: Annotated[Side, Field(ge=8)] | None = None
    """Resolution from which on discriminator blocks are not trained (FreezeD), for runs of one
    size that start from the weights of another run; None trains all blocks."""
    clip_norm: Rate | None = None
    """Maximum norm of a network's gradient, summed over replicas; larger ones are scaled down."""
    average_half_life: Rate = 10_000.0
    """Half-life of the generator's EMA, in images."""
    average_decay: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Decay of the EMA per step (ProGAN: 0.999), instead of the half-life."""
