"""Section `objective`: losses and regularisers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.section import Count, Rate, Section, Weight

LossName = Literal[
    "wasserstein",
    "logistic",
    "minimax",
    "least_squares",
    "hinge",
    "relativistic_logistic",
    "relativistic_least_squares",
    "relativistic_hinge",
]
SIGNED_LOSSES: tuple[LossName, ...] = ("logistic", "minimax", "hinge")
"""Losses that put the scores of reals above 0 and those of fakes below."""

PenaltyName = Literal["two_sided", "one_sided", "zero_centred", "none"]


class ObjectiveConfig(Section):
    """Adversarial loss and regularisers, each with its weight.

    A weight of 0 leaves a regulariser out, at no cost. docs/objectives.md has the formulas.
    """

    loss: LossName = "wasserstein"
    """The adversarial loss. `logistic` is the non-saturating one, `minimax` saturates, and
    `relativistic_…` are relativistic averages."""
    penalty: PenaltyName = "two_sided"
    """What the gradient at images mixed of reals and fakes must be: `two_sided` asks for a norm of
    1 (WGAN-GP), `one_sided` for at most 1, `zero_centred` for 0."""
    penalty_weight: Weight = 10.0
    """Weight of `penalty`."""
    r1: Weight = 0.0
    """Weight of half the squared gradient at reals (the γ of R1)."""
    r2: Weight = 0.0
    """Weight of half the squared gradient at fakes (the γ of R2)."""
    penalty_size: Literal["phase", "final"] = "phase"
    """Where gradients are measured: on the images of the phase, or, as the official code does, on
    those images enlarged to the final size, where they are `resolution / final` times as long."""
    penalty_every: Count = 1
    """Updates of the discriminator between two that pay `penalty`, `r1` and `r2`, so many times
    over, in an Adam update of their own: lazy regularisation."""
    drift: Weight = 0.001
    """Weight of `D(real)²`."""
    consistency: Weight = 0.0
    """Weight of `(D(x) - D(T(x)))²` on reals, where T shifts, and mirrors if `data.mirror` is on
    (CR-GAN: 10)."""
    weight_clip: Rate | None = None
    """Largest absolute value of a weight of the discriminator, in place of `penalty`; of a kernel
    in units of the deviation that it starts with."""
    path_length: Weight = 0.0
    """Weight of the generator's path length regularisation (StyleGAN2: 2)."""
    path_length_every: Count = 4
    """Updates of the generator between two that pay `path_length`, lazily as with
    `penalty_every`."""
    path_length_decay: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Share of the newest lengths in the moving mean of path lengths."""
    orthogonal_generator: Weight = 0.0
    """Weight of the overlap between filters of the generator (BigGAN: 0.0001)."""
    orthogonal_discriminator: Weight = 0.0
    """Weight of the overlap between filters of the discriminator."""
    critic_steps: Count = 1
    """Updates of the discriminator in a step, each on a batch of its own: `images_seen` counts
    all."""
    generator_steps: Count = 1
    """Updates of the generator in a step, each on latents of its own."""
    label_weight: Weight = 1.0
    """Weight of the label cross-entropy when `data.labels` is on."""

    @model_validator(mode="after")
    def _consistent(self) -> ObjectiveConfig:
        at_gradients = bool(self.r1 or self.r2 or (self.penalty != "none" and self.penalty_weight))
        if self.weight_clip is not None:
            if self.loss != "wasserstein":
                raise ValueError(
                    "`objective.weight_clip` is for `objective.loss=wasserstein` alone. "
                    f"Received: {self.loss}"
                )
            if self.penalty != "none":
                raise ValueError(
                    "`objective.weight_clip` takes the place of `objective.penalty`, which must be "
                    f"none beside it. Received: {self.penalty}"
                )
        elif self.loss == "wasserstein" and not at_gradients:
            raise ValueError(
                "`objective.loss=wasserstein` must be bounded by `objective.penalty`, `r1`, `r2` "
                "or `weight_clip`. Received: none of them"
            )
        if self.penalty_every > 1 and not at_gradients:
            raise ValueError(
                "`objective.penalty_every` above 1 needs `objective.penalty`, `r1` or `r2`. "
                f"Received: {self.penalty_every} without any"
            )
        return self
