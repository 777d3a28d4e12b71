"""Optimizer updates of a phase, as each replica makes them, in micro-batches if configured.

Every update divides its loss by the number of replicas, over which gradients are summed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras

from pipeline.config import Config
from pipeline.schedule import Phase
from pipeline.training.optimization.gradients import (
    GradientComputer,
    Learner,
    LossAndGradients,
    Losses,
    Metrics,
    micro_batches,
    sum_of,
)
from pipeline.training.synthesis.inputs import CriticBatch, GeneratorBatch, PathBatch
from pipeline.training.synthesis.objective import Objective, Term, with_terms
from pipeline.training.synthesis.phase_models import PhaseModels


@dataclass(frozen=True)
class Updates:
    """Updates of both networks in one phase.

    Args:
        config: Configuration of the run.
        phase: Phase that is trained.
        models: Models of the phase.
        replicas: Number of replicas that share each batch.
    """

    config: Config
    phase: Phase
    models: PhaseModels
    replicas: int

    @cached_property
    def objective(self) -> Objective:
        """Objective of the phase."""
        return Objective(self.config, self.phase, self.models)

    def update_critic(self, batch: CriticBatch) -> Metrics:
        """Update the discriminator on its loss and all regularisers that are not lazy."""
        objective, parts = self.objective, self._parts(batch)
        # In micro-batches samples cannot meet; the linearised loss has the same gradients.
        if objective.loss.samples_meet and parts > 1:
            batch = batch._replace(tangent=objective.critic_tangent(batch, parts))
        terms = [objective.critic_overlap]
        found = self._computed(self._critic.computer, objective.of_critic, batch, terms)
        return self._critic.apply_gradients(found, {**found.metrics, "critic_loss": found.loss})

    def pay_penalties(self, batch: CriticBatch) -> Metrics:
        """Update the discriminator on its lazy gradient penalties alone."""

        def losses(batch: CriticBatch, _: Sequence[Term]) -> Losses:
            return self.objective.of_penalties(batch)

        found = self._computed(self._critic.computer, losses, batch)
        return self._critic.apply_gradients(found, found.metrics)

    def update_generator(
        self, batch: GeneratorBatch, path_batch: PathBatch | None = None
    ) -> Metrics:
        """Update the generator on its loss and all regularisers that are not lazy.

        Args:
            batch: Inputs of the update.
            path_batch: Inputs of path length regularisation, if it is not lazy.
        """
        objective, parts = self.objective, self._parts(batch)
        # Before the weights change. A vector, so it is not logged.
        style = self.models.generation.mean_style(batch.draws, batch.labels)
        path_length, overlap = objective.path_term(path_batch), objective.generator_overlap
        # Without gradients of the discriminator's weights, which this update does not need.
        computer = self._generator.computer
        if parts == 1:
            terms = [path_length, overlap]
            found = self._computed(computer, objective.of_generator, batch, terms)
        else:
            if objective.loss.samples_meet:
                batch = batch._replace(tangent=objective.generator_tangent(batch, parts))
            found = self._computed(computer, objective.of_generator, batch, [overlap])
            if path_length.weight:
                found = sum_of(found, self._path_computed(path_batch, path_length.weight))
        metrics = {**found.metrics, "generator_loss": found.loss}
        if style is not None:
            metrics["mean_style"] = style
        return self._generator.apply_gradients(found, metrics)

    def pay_path_length(self, batch: PathBatch) -> Metrics:
        """Update the generator on its lazy path length regularisation alone."""
        settings = self.config.objective
        found = self._path_computed(batch, settings.path_length * settings.path_length_every)
        return self._generator.apply_gradients(found, found.metrics)

    @cached_property
    def _critic(self) -> Learner:
        return Learner(
            "critic",
            _trained(self.models.discriminator),
            self.models.discriminator_optimizer,
            self.models.discriminator_loss_scale,
            self.replicas,
            clip_norm=self.config.optimizer.clip_norm,
            weight_clip=self.config.objective.weight_clip,
        )

    @cached_property
    def _generator(self) -> Learner:
        return Learner(
            "generator",
            _trained(self.models.generator),
            self.models.generator_optimizer,
            self.models.generator_loss_scale,
            self.replicas,
            clip_norm=self.config.optimizer.clip_norm,
        )

    def _parts(self, batch: CriticBatch | GeneratorBatch | PathBatch) -> int:
        # No discriminator sees a path batch, so it has no groups to keep whole.
        group = 1 if isinstance(batch, PathBatch) else self.config.network.stddev_group
        return micro_batches(batch.labels.shape[0], self.config.run.micro_batch, group)

    def _computed(
        self,
        computer: GradientComputer,
        losses: Callable[[Any, Sequence[Term]], Losses],
        batch: CriticBatch | GeneratorBatch | PathBatch,
        terms: Sequence[Term] = (),
    ) -> LossAndGradients:
        """Compute loss and gradients of a batch; terms that use no samples are computed once."""
        parts = self._parts(batch)
        if parts == 1:
            return computer.compute(lambda: losses(batch, terms))
        found = computer.compute_in_parts(lambda part: losses(part, ()), batch, parts)
        if any(term.weight for term in terms):
            found = sum_of(found, computer.compute(lambda: with_terms(0.0, terms)))
        return found

    def _path_computed(self, batch: PathBatch | None, weight: float) -> LossAndGradients:
        assert batch is not None
        parts = self._parts(batch)
        if parts > 1:
            batch = batch._replace(tangent=self.objective.path_tangent(batch, parts))

        def losses(batch: PathBatch, _: Sequence[Term]) -> Losses:
            return self.objective.of_path(batch, weight)

        return self._computed(self._generator.computer, losses, batch)


def _trained(model: keras.Model) -> list[Any]:
    return [weight.value for weight in model.trainable_variables]
