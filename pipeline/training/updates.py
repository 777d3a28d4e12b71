"""The optimizer updates of a phase, as each replica makes them: a loss and a sum of regularisers.

Every update sums gradients over replicas, and divides its loss by their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from pipeline.config import Config
from pipeline.objectives.adversarial import LOSSES, Adversarial
from pipeline.objectives.consistency import inconsistency, moved
from pipeline.objectives.labels import label_loss
from pipeline.objectives.orthogonal import total_overlap
from pipeline.objectives.path_length import (
    moved_mean,
    normalised,
    path_length_penalty,
    path_lengths,
)
from pipeline.objectives.penalties import (
    GradientPenalty,
    norm_of,
    penalties_of,
    squared_gradient,
)
from pipeline.schedule import Phase
from pipeline.training.alarms.non_finite import squares
from pipeline.training.phase_models import PhaseModels
from pipeline.training.scoring import halves, score_apart, scores_of

Metrics: TypeAlias = dict[str, Any]
"""What came of an update, in the order in which it is computed: scalars, which are logged, and
vectors, of which only whether they are finite is looked at."""
Term: TypeAlias = tuple[str, float, Callable[[], Any]]
"""A regulariser: the name it is logged under, its weight, and its value a sample or for all."""


@dataclass(frozen=True)
class CriticBatch:
    """What one update of the discriminator is made on.

    Args:
        reals: `(batch, resolution, resolution, channels)`.
        fakes: The same shape, or None where no regulariser looks at them.
        labels: One-hot `(batch, classes)`.
        mix_weights: Uniform `(batch, 1, 1, 1)`, between reals and fakes.
        moves: Uniform `(batch, 3)`, by which the reals are moved.
    """

    reals: Any
    fakes: Any
    labels: Any
    mix_weights: Any
    moves: Any


@dataclass(frozen=True)
class PathBatch:
    """What the path length is measured on.

    Args:
        latents: Normal `(batch, latent_size)`.
        labels: One-hot `(batch, classes)`.
        noise: Normal, of the images' shape.
    """

    latents: Any
    labels: Any
    noise: Any


@dataclass(frozen=True)
class Updates:
    """The updates of both networks in one phase.

    Args:
        config: Of the run.
        phase: What is trained.
        models: Of the phase.
        replicas: Among which each batch is shared.
    """

    config: Config
    phase: Phase
    models: PhaseModels
    replicas: int

    @cached_property
    def loss(self) -> Adversarial:
        """The adversarial loss."""
        return LOSSES[self.config.objective.loss]

    @cached_property
    def penalties(self) -> tuple[GradientPenalty, ...]:
        """The gradient penalties."""
        return penalties_of(self.config.objective)

    @property
    def lazy_penalties(self) -> bool:
        """Whether gradient penalties take updates of their own."""
        return bool(self.penalties) and self.config.objective.penalty_every > 1

    @property
    def lazy_path_length(self) -> bool:
        """Whether the path length takes updates of its own."""
        objective = self.config.objective
        return bool(objective.path_length) and objective.path_length_every > 1

    def update_critic(self, batch: CriticBatch) -> Metrics:
        """One update of the discriminator on its loss and all regularisers that are not lazy."""
        objective, discriminator = self.config.objective, self.models.discriminator
        variables = _trained(discriminator)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            real_outputs, fake_outputs = score_apart(
                discriminator, batch.reals, batch.fakes, self.config.network.stddev_group
            )
            reals, fakes = scores_of(real_outputs), scores_of(fake_outputs)
            of_scores: list[Term] = [
                ("drift", objective.drift, lambda: tf.square(reals)),
                (
                    "consistency",
                    objective.consistency,
                    lambda: inconsistency(reals, self._scores(self._moved(batch))),
                ),
            ]
            norms: Metrics = {}
            others: list[Term] = [
                *(() if self.lazy_penalties else self._gradient_terms(batch, norms)),
                (
                    "critic_overlap",
                    objective.orthogonal_discriminator,
                    lambda: total_overlap(_kernels(discriminator)),
                ),
                (
                    "critic_label_loss",
                    self._label_weight,
                    lambda: (
                        label_loss(batch.labels, real_outputs[1])
                        + label_loss(batch.labels, fake_outputs[1])
                    ),
                ),
            ]
            losses, metrics = _sum(self.loss.critic(reals, fakes), of_scores)
            losses, other_metrics = _sum(tf.squeeze(losses, axis=1), others)
            loss = tf.reduce_mean(losses) / self.replicas
        gradients = _gradients(tape, loss, variables)
        norm = self._apply_to_critic(gradients)
        return {
            "real_score": tf.reduce_mean(reals),
            "fake_score": tf.reduce_mean(fakes),
            "real_square": tf.reduce_mean(tf.square(reals)),
            "fake_square": tf.reduce_mean(tf.square(fakes)),
            **norms,
            **metrics,
            **other_metrics,
            "critic_loss": tf.reduce_mean(losses),
            "critic_gradients": squares(gradients),
            "critic_gradient_norm": norm,
        }

    def pay_penalties(self, batch: CriticBatch) -> Metrics:
        """One update of the discriminator on its lazy gradient penalties alone."""
        variables = _trained(self.models.discriminator)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            norms: Metrics = {}
            losses, metrics = _sum(0.0, self._gradient_terms(batch, norms))
            owed = losses * float(self.config.objective.penalty_every)
            loss = tf.reduce_mean(owed) / self.replicas
        gradients = _gradients(tape, loss, variables)
        self._apply_to_critic(gradients)
        return {**norms, **metrics, "critic_gradients": squares(gradients)}

    def update_generator(
        self,
        generate: Callable[[], Any],
        labels: Any,
        reals: Any,
        path_batch: PathBatch | None = None,
    ) -> Metrics:
        """One update of the generator; takes no gradient of the discriminator's weights.

        Args:
            generate: Makes the fakes to learn from, a batch.
            labels: Theirs, one-hot.
            reals: For losses that compare with them.
            path_batch: For the path length, where that is not lazy.
        """
        objective, generator = self.config.objective, self.models.generator
        variables = _trained(generator)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            scores, logits, labels = self._scored_in_parts(generate(), labels)
            real_scores = self._scores(reals) if self.loss.needs_reals else None
            terms: list[Term] = [
                (
                    "path_length",
                    0.0 if self.lazy_path_length else objective.path_length,
                    lambda: tf.reduce_mean(self._path_penalty(path_batch)),
                ),
                (
                    "generator_overlap",
                    objective.orthogonal_generator,
                    lambda: total_overlap(_kernels(generator)),
                ),
                (
                    "generator_label_loss",
                    self._label_weight,
                    lambda: label_loss(labels, logits),
                ),
            ]
            losses = tf.squeeze(self.loss.generator(real_scores, scores), axis=1)
            losses, metrics = _sum(losses, terms)
            loss = tf.reduce_mean(losses) / self.replicas
        gradients = _gradients(tape, loss, variables)
        norm = self._apply(self.models.generator_optimizer, gradients)
        return {
            **metrics,
            "generator_loss": tf.reduce_mean(losses),
            "generator_gradients": squares(gradients),
            "generator_gradient_norm": norm,
        }

    def pay_path_length(self, batch: PathBatch) -> Metrics:
        """One update of the generator on its lazy path length alone."""
        objective = self.config.objective
        variables = _trained(self.models.generator)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            penalty = tf.reduce_mean(self._path_penalty(batch))
            loss = objective.path_length * objective.path_length_every * penalty / self.replicas
        gradients = _gradients(tape, loss, variables)
        self._apply(self.models.generator_optimizer, gradients)
        return {"path_length": penalty, "generator_gradients": squares(gradients)}

    @property
    def _label_weight(self) -> float:
        return self.config.objective.label_weight if self.config.data.labels else 0.0

    def _scores(self, images: Any) -> Any:
        return scores_of(self.models.discriminator(images))

    def _moved(self, batch: CriticBatch) -> Any:
        return moved(batch.reals, batch.moves, mirror=self.config.data.mirror)

    def _gradient_terms(self, batch: CriticBatch, norms: Metrics) -> list[Term]:
        """The penalties; the mean norm of the gradient at mixed images is put into `norms`."""
        scale = 1.0
        if self.config.objective.penalty_size == "final":
            scale = self.phase.resolution / self.config.schedule.resolution

        def value(penalty: GradientPenalty) -> Callable[[], Any]:
            def of_batch() -> Any:
                images = penalty.points(batch.reals, batch.fakes, batch.mix_weights)
                square = squared_gradient(self._scores, images)
                if penalty.name == "penalty":
                    norms["penalty_norm"] = tf.reduce_mean(norm_of(square, scale))
                return penalty.measure(square, scale)

            return of_batch

        return [(penalty.name, penalty.weight, value(penalty)) for penalty in self.penalties]

    def _path_penalty(self, batch: PathBatch | None) -> Any:
        assert batch is not None
        mean = self.models.path_length_mean
        assert mean is not None

        def generate(latents: Any) -> Any:
            inputs = [latents, batch.labels] if self.config.data.labels else latents
            return self.models.generator(inputs)

        lengths = path_lengths(generate, normalised(batch.latents), batch.noise)
        moved_on = moved_mean(mean.value, lengths, decay=self.config.objective.path_length_decay)
        mean.value.assign(tf.stop_gradient(moved_on))
        return path_length_penalty(lengths, moved_on)

    def _scored_in_parts(self, images: Any, labels: Any) -> tuple[Any, Any, Any]:
        """Scores, label logits or None, and the labels in the same order."""
        parts = [(images, labels)]
        if self.config.run.intra_op_threads == 1:
            # Nothing else is left to do beside this pass: each half occupies a thread.
            group_size = self.config.network.stddev_group
            parts = list(zip(halves(images, group_size), halves(labels, group_size), strict=True))
        outputs = [self.models.discriminator(part) for part, _ in parts]
        scores = tf.concat([scores_of(output) for output in outputs], axis=0)
        labels = tf.concat([part for _, part in parts], axis=0)
        logits = None
        if self.config.data.labels:
            logits = tf.concat([output[1] for output in outputs], axis=0)
        return scores, logits, labels

    def _apply_to_critic(self, gradients: list[Any]) -> Any:
        norm = self._apply(self.models.discriminator_optimizer, gradients)
        bound = self.config.objective.weight_clip
        if bound is not None:
            clip_weights(_trained(self.models.discriminator), bound)
        return norm

    def _apply(self, optimizer: keras.optimizers.Optimizer, gradients: list[Any]) -> Any:
        """Update with gradients that sum to the whole over replicas; returns their norm.

        Keras' own clipping looks at each replica's gradients before they are summed.
        """
        most = self.config.optimizer.clip_norm
        if most is None:
            optimizer.apply(gradients)
            return tf.linalg.global_norm(gradients) * self.replicas
        whole = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.SUM, gradients
        )
        norm = tf.linalg.global_norm(whole)
        optimizer.apply([gradient * (most / tf.maximum(norm, most)) for gradient in gradients])
        return norm


def clip_weights(variables: Iterable[Any], bound: float) -> None:
    """`w ← min(max(w, -bound), bound)`, called in a replica. Source: arXiv:1701.07875."""

    def clip(strategy: tf.distribute.Strategy) -> None:
        for variable in variables:
            strategy.extended.update(
                variable, lambda w: w.assign(tf.clip_by_value(w, -bound, bound)), group=False
            )

    tf.distribute.get_replica_context().merge_call(clip)


def _sum(losses: Any, terms: Iterable[Term]) -> tuple[Any, Metrics]:
    """The losses with every regulariser that has a weight, and the means of those."""
    metrics = {}
    for name, weight, value in terms:
        if weight:
            values = value()
            losses += weight * values
            metrics[name] = tf.reduce_mean(values)
    return losses, metrics


def _trained(model: keras.Model) -> list[Any]:
    return [weight.value for weight in model.trainable_variables]


def _kernels(model: keras.Model) -> list[Any]:
    return [layer.scaled_kernel() for layer in model.layers if hasattr(layer, "scaled_kernel")]


def _gradients(tape: tf.GradientTape, loss: Any, variables: list[Any]) -> list[Any]:
    # A regulariser alone does not depend on every weight: a last bias has no part in a gradient.
    return tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
