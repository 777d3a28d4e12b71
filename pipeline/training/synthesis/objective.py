"""Objective of a phase: adversarial losses and regularisers of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from pipeline.augmentation.controller import mean_sign
from pipeline.config import Config
from pipeline.objectives.adversarial import LOSSES, Adversarial, label_loss
from pipeline.objectives.consistency import inconsistency, moved
from pipeline.objectives.orthogonal import total_overlap
from pipeline.objectives.path_length import moved_mean, path_length_penalty
from pipeline.objectives.penalties import GradientPenalty, norm_of, penalties_of
from pipeline.schedule import Phase
from pipeline.training.alarms.non_finite import levels
from pipeline.training.optimization.gradients import (
    Losses,
    Metrics,
    Tangent,
    tangent_at,
    values_in_turn,
)
from pipeline.training.synthesis.forward import Passes
from pipeline.training.synthesis.inputs import CriticBatch, GeneratorBatch, PathBatch
from pipeline.training.synthesis.phase_models import PhaseModels


class Term(NamedTuple):
    """Weighted regulariser.

    Args:
        name: Name under which it is logged.
        weight: Weight in the loss; 0 leaves it out.
        value: Function that returns a value per sample, or one for all.
    """

    name: str
    weight: float
    value: Callable[[], Any]


def with_terms(losses: Any, terms: Iterable[Term]) -> Losses:
    """Add regularisers to losses; also returns the mean of each regulariser."""
    metrics = {}
    for term in terms:
        # A weight of 0 must cost nothing, so the value is not even computed.
        if term.weight:
            values = term.value()
            losses += term.weight * values
            metrics[term.name] = tf.reduce_mean(values)
    return losses, metrics


@dataclass(frozen=True)
class Objective:
    """Losses of both networks in one phase.

    Args:
        config: Configuration of the run.
        phase: Phase that is trained.
        models: Models of the phase.
    """

    config: Config
    phase: Phase
    models: PhaseModels

    @cached_property
    def loss(self) -> Adversarial:
        """Adversarial losses."""
        return LOSSES[self.config.objective.loss]

    @cached_property
    def penalties(self) -> tuple[GradientPenalty, ...]:
        """Gradient penalties."""
        return penalties_of(self.config.objective)

    @property
    def lazy_penalties(self) -> bool:
        """True if gradient penalties have updates of their own."""
        return bool(self.penalties) and self.config.objective.penalty_every > 1

    @property
    def lazy_path_length(self) -> bool:
        """True if path length regularisation has updates of its own."""
        objective = self.config.objective
        return bool(objective.path_length) and objective.path_length_every > 1

    @cached_property
    def _passes(self) -> Passes:
        return Passes(self.config, self.models)

    def of_critic(self, batch: CriticBatch, terms: Sequence[Term]) -> Losses:
        """Compute the discriminator's loss with all regularisers that are not lazy.

        Args:
            batch: Inputs of the update.
            terms: Regularisers that do not depend on samples.
        """
        objective = self.config.objective
        images = self._passes.fakes(batch)
        seen = self._passes.reals_seen(batch)
        of_reals, of_fakes = self._passes.judged_both(batch, seen, images)
        reals, fakes = of_reals.scores, of_fakes.scores

        def moved_scores() -> Any:
            shifted = moved(seen, batch.moves, mirror=self.config.data.mirror)
            return self._passes.scores(shifted, batch.labels)

        # Of the shape of scores, `(batch, 1)`; other terms are `(batch,)` or `()`.
        of_scores = [
            Term("drift", objective.drift, lambda: tf.square(reals)),
            Term(
                "consistency", objective.consistency, lambda: inconsistency(reals, moved_scores())
            ),
        ]
        norms: Metrics = {}
        others = [
            *(() if self.lazy_penalties else self._penalty_terms(batch, images, norms)),
            *terms,
            Term(
                "critic_label_loss",
                self._label_weight(of_reals.logits),
                lambda: (
                    label_loss(batch.labels, of_reals.logits)
                    + label_loss(batch.labels, of_fakes.logits)
                ),
            ),
        ]
        losses, metrics = with_terms((batch.tangent or self.loss.critic)(reals, fakes), of_scores)
        losses, other_metrics = with_terms(tf.squeeze(losses, axis=1), others)
        return losses, {
            "fakes": levels(images),
            "real_score": tf.reduce_mean(reals),
            "fake_score": tf.reduce_mean(fakes),
            "real_square": tf.reduce_mean(tf.square(reals)),
            "fake_square": tf.reduce_mean(tf.square(fakes)),
            **({"real_sign": mean_sign(reals)} if self.models.augmentation.steered else {}),
            **norms,
            **metrics,
            **other_metrics,
        }

    def of_penalties(self, batch: CriticBatch) -> Losses:
        """Compute the lazy gradient penalties alone, times the number of updates they stand for."""
        fakes = self._passes.fakes(batch)
        looked_at: Metrics = {} if fakes is None else {"fakes": levels(fakes)}
        values, metrics = with_terms(0.0, self._penalty_terms(batch, fakes, looked_at))
        return values * float(self.config.objective.penalty_every), {**looked_at, **metrics}

    def of_generator(self, batch: GeneratorBatch, terms: Sequence[Term]) -> Losses:
        """Compute the generator's loss; the arguments are as in `of_critic`."""
        (scores, logits), labels = self._passes.judged_fakes(batch)
        if batch.tangent is None:
            losses = self.loss.generator(self._real_scores(batch), scores)
        else:
            losses = batch.tangent(scores)
        label = Term(
            "generator_label_loss",
            self._label_weight(logits),
            lambda: label_loss(labels, logits),
        )
        return with_terms(tf.squeeze(losses, axis=1), [*terms, label])

    def of_path(self, batch: PathBatch, weight: float) -> Losses:
        """Compute path length regularisation alone, with a weight."""
        penalty = self._path_penalty(batch)
        return weight * penalty, {"path_length": penalty}

    def path_term(self, batch: PathBatch | None) -> Term:
        """Make the term for path length regularisation, with weight 0 if it is lazy."""

        def value() -> Any:
            assert batch is not None
            return self._path_penalty(batch)

        weight = 0.0 if self.lazy_path_length else self.config.objective.path_length
        return Term("path_length", weight, value)

    @property
    def critic_overlap(self) -> Term:
        """Term for the discriminator's orthogonal regularisation."""
        weight = self.config.objective.orthogonal_discriminator
        return Term("critic_overlap", weight, lambda: _overlap(self.models.discriminator))

    @property
    def generator_overlap(self) -> Term:
        """Term for the generator's orthogonal regularisation."""
        weight = self.config.objective.orthogonal_generator
        return Term("generator_overlap", weight, lambda: _overlap(self.models.generator))

    def critic_tangent(self, batch: CriticBatch, parts: int) -> Tangent:
        """Linearise the discriminator's loss at the scores of a batch, computed in parts."""
        scores = values_in_turn(self._passes.scores_of_both, batch, parts, count=2)
        return tangent_at(self.loss.critic, *scores)

    def generator_tangent(self, batch: GeneratorBatch, parts: int) -> Tangent:
        """Linearise the generator's loss at the scores of a batch, computed in parts."""

        def scores(part: GeneratorBatch) -> tuple[Any, ...]:
            judgement, _ = self._passes.judged_fakes(part)
            return self._real_scores(part), judgement.scores

        # Scores of reals do not depend on the generator, so they have no slope.
        reals, fakes = values_in_turn(scores, batch, parts, count=2)
        return tangent_at(lambda fakes: self.loss.generator(reals, fakes), fakes)

    def path_tangent(self, batch: PathBatch, parts: int) -> Tangent:
        """Linearise the path penalties at the lengths of a batch, computed in parts."""
        [lengths] = values_in_turn(
            lambda part: (self._passes.path_lengths(part),), batch, parts, count=1
        )
        return tangent_at(self._path_penalties, lengths)

    def _label_weight(self, logits: Any) -> float:
        """Weight of the label loss, 0 in families whose discriminator does not classify."""
        return 0.0 if logits is None else self.config.objective.label_weight

    def _real_scores(self, batch: GeneratorBatch) -> Any:
        if not self.loss.needs_reals:
            return None
        return self._passes.scores(self._passes.reals_seen(batch), batch.labels)

    def _penalty_terms(self, batch: CriticBatch, fakes: Any, norms: Metrics) -> list[Term]:
        """Make the penalty terms; computing them adds the mean gradient norm to `norms`."""
        scale = 1.0
        # The official ProGAN code measures on images enlarged to the final size.
        if self.config.objective.penalty_size == "final":
            scale = self.phase.resolution / self.config.schedule.resolution

        def value(penalty: GradientPenalty) -> Callable[[], Any]:
            def of_batch() -> Any:
                images = penalty.points(batch.reals, fakes, batch.mix_weights)
                # Fakes take their own augmentation; reals and mixed images take that of the reals.
                of_fakes = penalty.name == "r2"
                # Through the augmentation, as all scores: every update sees one discriminator.
                square = self._passes.squared_gradient(
                    images,
                    batch.labels,
                    batch.fake_augmentation if of_fakes else batch.real_augmentation,
                )
                if penalty.name == "penalty":
                    norms["penalty_norm"] = tf.reduce_mean(norm_of(square, scale))
                return penalty.measure(square, scale)

            return of_batch

        return [Term(penalty.name, penalty.weight, value(penalty)) for penalty in self.penalties]

    def _path_penalty(self, batch: PathBatch) -> Any:
        lengths = self._passes.path_lengths(batch)
        if batch.tangent is None:
            return tf.reduce_mean(self._path_penalties(lengths))
        return tf.reduce_mean(batch.tangent(lengths[:, tf.newaxis]))

    def _path_penalties(self, lengths: Any) -> Any:
        """Compute the penalties of a replica's whole path batch, and update the moving mean."""
        mean = self.models.path_length_mean
        assert mean is not None
        # Before the penalty, as in the official code.
        moved_on = moved_mean(mean.value, lengths, decay=self.config.objective.path_length_decay)
        kept = tf.stop_gradient(moved_on)
        # The loss scale may have made lengths infinite, which must not stay in the mean.
        if self.models.generator_loss_scale is not None:
            kept = tf.where(tf.math.is_finite(kept), kept, mean.value)
        mean.value.assign(kept)
        return path_length_penalty(lengths, moved_on)


def _overlap(model: keras.Model) -> Any:
    kernels = [layer.scaled_kernel() for layer in model.layers if hasattr(layer, "scaled_kernel")]
    return total_overlap(kernels)
