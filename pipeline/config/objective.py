"""Section `objective` of the configuration: losses and regularisers."""

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
"""Losses that push the scores of reals above 0 and the scores of fakes below 0."""

PenaltyName = Literal["two_sided", "one_sided", "zero_centred", "none"]


class ObjectiveConfig(Section):
    """Adversarial loss and regularisers, each with its weight.

    A weight of 0 leaves a regulariser out, at no cost. docs/objectives.md has the formulas.
    """

    loss: LossName = "wasserstein"
    """The adversarial loss. `logistic` is the non-saturating one, `minimax` saturates, and
    `relativistic_…` are relativistic averages."""
    penalty: PenaltyName = "two_sided"
    """Gradient penalty at mixes of reals and fakes. It pulls the gradient's norm to 1 if
    `two_sided` (WGAN-GP), to at most 1 if `one_sided`, and to 0 if `zero_centred`."""
    penalty_weight: Weight = 10.0
    """Weight of `penalty`."""
    r1: Weight = 0.0
    """R1's γ: weight of half the squared gradient at reals."""
    r2: Weight = 0.0
    """R2's γ: weight of half the squared gradient at fakes."""
    penalty_size: Literal["phase", "final"] = "phase"
    """Size at which gradients are measured: on the images of the `phase`, or as if these were
    enlarged to the `final` size, where norms are `resolution / final` times as large. The official
    ProGAN code does the latter."""
    penalty_every: Count = 1
    """Lazy regularisation: apply `penalty`, `r1` and `r2` in every k-th update of the
    discriminator, times k, in an Adam update of their own."""
    drift: Weight = 0.001
    """Weight of `D(real)²`."""
    consistency: Weight = 0.0
    """Weight of `(D(x) - D(T(x)))²` on reals, where T shifts, and mirrors if `data.mirror` is on
    (CR-GAN: 10)."""
    weight_clip: Rate | None = None
    """Maximum absolute value of the discriminator's stored weights (WGAN), instead of `penalty`.
    Stored kernels start with a standard deviation of 1: they are scaled when used."""
    path_length: Weight = 0.0
    """Weight of the generator's path length regularisation (StyleGAN2: 2)."""
    path_length_every: Count = 4
    """Lazy regularisation: apply `path_length` in every k-th update of the generator, times k."""
    path_length_decay: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Weight of the newest lengths in the moving mean of path lengths."""
    orthogonal_generator: Weight = 0.0
    """Weight of the generator's orthogonal regularisation (BigGAN: 0.0001)."""
    orthogonal_discriminator: Weight = 0.0
    """Weight of the discriminator's orthogonal regularisation."""
    critic_steps: Count = 1
    """Updates of the discriminator per step, each on a new batch that `images_seen` counts."""
    generator_steps: Count = 1
    """Updates of the generator per step, each on new latents."""
    label_weight: Weight = 1.0
    """Weight of the label cross-entropy when `data.labels` is on."""

    @model_validator(mode="after")
    def _consistent(self) -> ObjectiveConfig:
        at_gradients = bool(self.r1 or self.r2 or (self.penalty != "none" and self.penalty_weight))
        if self.weight_clip is not None:
            if self.loss != "wasserstein":
                raise ValueError(
                    "`objective.weight_clip` needs `objective.loss=wasserstein`. "
                    f"Received: {self.loss}"
                )
            if self.penalty != "none":
                raise ValueError(
                    "`objective.weight_clip` replaces the gradient penalty: set "
                    f"`objective.penalty=none`. Received: {self.penalty}"
                )
        # Without a bound this loss has no minimum: scores would grow for ever.
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
