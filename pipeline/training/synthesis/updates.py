"""Updates of both networks in a phase, as each replica makes them, in micro-batches if configured.

Every update divides its loss by the number of replicas, because optimizers sum gradients over them.
`losses.samples_meet` means that the loss of a sample depends on other samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from pipeline.config import Config
from pipeline.objectives.adversarial import LOSSES, Adversarial, label_loss
from pipeline.objectives.consistency import inconsistency, shift_and_mirror
from pipeline.objectives.path_length import path_length_penalty, path_lengths, update_mean
from pipeline.objectives.penalties import GradientPenalty, norm_of, penalties_of, squared_gradient
from pipeline.schedule import Phase
from pipeline.training.alarms.non_finite import image_means
from pipeline.training.optimization.gradients import (
    Learner,
    LossAndGradients,
    Losses,
    Metrics,
    Term,
    add_terms,
)
from pipeline.training.optimization.micro_batches import (
    halves,
    map_micro_batches,
    micro_batches,
    tangent_at,
)
from pipeline.training.synthesis.inputs import CriticBatch, GeneratorBatch, PathBatch
from pipeline.training.synthesis.phase_models import PhaseModels, overlap_of, trained_values


class Judgement(NamedTuple):
    """The discriminator's scores `(batch, 1)`, and logits `(batch, classes)` if it classifies."""

    scores: Any
    logits: Any = None

    def label_term(self, name: str, weight: float, losses: Callable[[], Any]) -> Term:
        """Make the term of a label loss, with weight 0 if the discriminator does not classify."""
        return Term(name, 0.0 if self.logits is None else weight, losses)


def discriminate(discriminator: keras.Model, images: Any, labels: Any) -> Judgement:
    """Score images; one-hot labels are passed on if the discriminator has an input for them."""
    takes_labels = len(tf.nest.flatten(discriminator.inputs)) > 1
    return Judgement(**discriminator([images, labels] if takes_labels else images))


def discriminate_both(
    discriminator: keras.Model, reals: Any, fakes: Any, labels: Any, group_size: int
) -> tuple[Judgement, Judgement]:
    """Score reals and fakes with the same labels in one pass, with the same results as two."""
    # Interleave reals and fakes: members of a group of the minibatch standard deviation are strided
    # through the batch, and no group may hold both.
    batch = reals.shape[0]
    if batch < group_size:  # In one pass, two small groups would become one.
        return discriminate(discriminator, reals, labels), discriminate(
            discriminator, fakes, labels
        )

    def interleave(*kinds: Any) -> Any:
        shape = (group_size, batch // group_size)
        grouped = [tf.reshape(kind, (*shape, *kind.shape[1:])) for kind in kinds]
        return tf.reshape(tf.concat(grouped, axis=1), (2 * batch, *kinds[0].shape[1:]))

    both = discriminate(discriminator, interleave(reals, fakes), interleave(labels, labels))
    scores = halves(both.scores, group_size)
    logits = (None, None) if both.logits is None else halves(both.logits, group_size)
    first, second = map(Judgement, scores, logits)
    return first, second


@dataclass(frozen=True)
class DiscriminatorUpdates:
    """Updates of the discriminator in one phase."""

    config: Config
    phase: Phase
    models: PhaseModels
    replicas: int

    @cached_property
    def penalties(self) -> tuple[GradientPenalty, ...]:
        """Gradient penalties of the objective."""
        return penalties_of(self.config.objective)

    @property
    def lazy(self) -> bool:
        """True if gradient penalties have updates of their own."""
        return bool(self.penalties) and self.config.objective.penalty_every > 1

    def update(self, batch: CriticBatch) -> Metrics:
        """Update on the loss and all regularisers that are not lazy."""
        parts = self._parts(batch)
        # Linearise a loss in which samples meet: micro-batches then give the same gradients.
        if self._loss.samples_meet and parts > 1:
            scores = map_micro_batches(self._scores_of_both, batch, parts, count=2)
            batch = batch._replace(tangent=tangent_at(self._loss.critic, *scores))
        overlap = Term(
            "critic_overlap",
            self.config.objective.orthogonal_discriminator,
            lambda: overlap_of(self.models.discriminator),
        )
        found = self._learner.compute(self._losses, batch, parts, [overlap])
        return self._learner.apply_gradients(found, {**found.metrics, "critic_loss": found.loss})

    def apply_penalties(self, batch: CriticBatch) -> Metrics:
        """Update on the lazy gradient penalties alone, times `objective.penalty_every`."""
        found = self._learner.compute(self._penalty_losses, batch, self._parts(batch))
        return self._learner.apply_gradients(found, found.metrics)

    @cached_property
    def _loss(self) -> Adversarial:
        return LOSSES[self.config.objective.loss]

    @cached_property
    def _learner(self) -> Learner:
        return Learner(
            "critic",
            trained_values(self.models.discriminator),
            self.models.discriminator_optimizer,
            self.models.discriminator_loss_scale,
            self.replicas,
            clip_norm=self.config.optimizer.clip_norm,
            weight_clip=self.config.objective.weight_clip,
        )

    def _parts(self, batch: CriticBatch) -> int:
        samples, group = batch.labels.shape[0], self.config.network.stddev_group
        return micro_batches(samples, self.config.run.micro_batch, group)

    def _losses(self, batch: CriticBatch, terms: Sequence[Term]) -> Losses:
        """Compute the loss with all regularisers that are not lazy, and with `terms`."""
        objective = self.config.objective
        images = self._fakes(batch)
        seen, of_reals, of_fakes = self._judge_both(batch, images)
        reals, fakes = of_reals.scores, of_fakes.scores

        def moved_scores() -> Any:
            shifted = shift_and_mirror(seen, batch.moves, mirror=self.config.data.mirror)
            return discriminate(self.models.discriminator, shifted, batch.labels).scores

        # These terms have the shape of scores, `(batch, 1)`; other terms are `(batch,)` or `()`.
        of_scores = [
            Term("drift", objective.drift, lambda: tf.square(reals)),
            Term(
                "consistency", objective.consistency, lambda: inconsistency(reals, moved_scores())
            ),
        ]
        norms: Metrics = {}
        others = [
            *(() if self.lazy else self._penalty_terms(batch, images, norms)),
            *terms,
            of_reals.label_term(
                "critic_label_loss",
                objective.label_weight,
                lambda: (
                    label_loss(batch.labels, of_reals.logits)
                    + label_loss(batch.labels, of_fakes.logits)
                ),
            ),
        ]
        losses, metrics = add_terms((batch.tangent or self._loss.critic)(reals, fakes), of_scores)
        losses, other_metrics = add_terms(tf.squeeze(losses, axis=1), others)
        return losses, {
            "fakes": image_means(images),
            "real_score": tf.reduce_mean(reals),
            "fake_score": tf.reduce_mean(fakes),
            "real_square": tf.reduce_mean(tf.square(reals)),
            "fake_square": tf.reduce_mean(tf.square(fakes)),
            **self.models.augmentation.metrics(reals),
            **norms,
            **metrics,
            **other_metrics,
        }

    def _penalty_losses(self, batch: CriticBatch, _: Sequence[Term]) -> Losses:
        fakes = self._fakes(batch)
        checked: Metrics = {} if fakes is None else {"fakes": image_means(fakes)}
        values, metrics = add_terms(0.0, self._penalty_terms(batch, fakes, checked))
        return values * float(self.config.objective.penalty_every), {**checked, **metrics}

    def _fakes(self, batch: CriticBatch) -> Any:
        if batch.draws is None:  # No penalty uses fakes.
            return None
        return self.models.generation.images(batch.draws, batch.labels)

    def _judge_both(self, batch: CriticBatch, fakes: Any) -> tuple[Any, Judgement, Judgement]:
        """Return augmented reals, their judgement, and the judgement of augmented fakes."""
        augment = self.models.augmentation.apply
        reals_seen = augment(batch.reals, batch.real_augmentation)
        fakes_seen = augment(fakes, batch.fake_augmentation)
        group_size = self.config.network.stddev_group
        return reals_seen, *discriminate_both(
            self.models.discriminator, reals_seen, fakes_seen, batch.labels, group_size
        )

    def _scores_of_both(self, batch: CriticBatch) -> tuple[Any, ...]:
        _, reals, fakes = self._judge_both(batch, self._fakes(batch))
        return reals.scores, fakes.scores

    def _penalty_terms(self, batch: CriticBatch, fakes: Any, norms: Metrics) -> list[Term]:
        """Make the penalty terms; computing them adds the mean gradient norm to `norms`."""
        return [
            Term(each.name, each.weight, partial(self._penalty, each, batch, fakes, norms))
            for each in self.penalties
        ]

    def _penalty(
        self, penalty: GradientPenalty, batch: CriticBatch, fakes: Any, norms: Metrics
    ) -> Any:
        scale = 1.0
        # The official ProGAN code measures on images enlarged to the final size.
        if self.config.objective.penalty_size == "final":
            scale = self.phase.resolution / self.config.schedule.resolution
        images = penalty.points(batch.reals, fakes, batch.mix_weights)
        # R2 is measured on fakes, which have their own augmentation; others use that of the reals.
        augmentation = batch.fake_augmentation if penalty.name == "r2" else batch.real_augmentation
        square = self._squared_gradient(images, batch.labels, augmentation)
        if penalty.name == "penalty":
            norms["penalty_norm"] = tf.reduce_mean(norm_of(square, scale))
        return penalty.measure(square, scale)

    def _squared_gradient(self, images: Any, labels: Any, augmentation: Any) -> Any:
        def scores(images: Any) -> Any:
            # Augment images as for all scores: every update sees the same discriminator.
            seen = self.models.augmentation.apply(images, augmentation)
            return discriminate(self.models.discriminator, seen, labels).scores

        scale = self.models.discriminator_loss_scale
        if scale is None:
            return squared_gradient(scores, images)
        # Scale inside the gradient: it is float16 as well, and would underflow.
        root = scale.root
        return squared_gradient(lambda x: scores(x) * root, images) / tf.square(root)


@dataclass(frozen=True)
class GeneratorUpdates:
    """Updates of the generator in one phase."""

    config: Config
    models: PhaseModels
    replicas: int

    @property
    def lazy(self) -> bool:
        """True if path length regularisation has updates of its own."""
        objective = self.config.objective
        return bool(objective.path_length) and objective.path_length_every > 1

    def update(self, batch: GeneratorBatch, path_batch: PathBatch | None = None) -> Metrics:
        """Update on the loss and all regularisers that are not lazy; path lengths use `path_batch`.

        It may be None if path length regularisation is off or lazy.
        """
        settings = self.config.objective
        group = self.config.network.stddev_group
        parts = micro_batches(batch.labels.shape[0], self.config.run.micro_batch, group)
        # Compute it before the weights change. It is a vector, so it is not logged.
        style = self.models.generation.mean_style(batch.draws, batch.labels)
        path_length = Term(
            "path_length",
            0.0 if self.lazy else settings.path_length,
            lambda: self._path_penalty(path_batch),
        )
        overlap = Term(
            "generator_overlap",
            settings.orthogonal_generator,
            lambda: overlap_of(self.models.generator),
        )
        if parts == 1:
            found = self._learner.compute(self._losses, batch, parts, [path_length, overlap])
        else:
            if self._loss.samples_meet:
                # Linearise by fakes only: scores of reals do not depend on the generator.
                reals, fakes = map_micro_batches(self._scores_of_both, batch, parts, count=2)
                tangent = tangent_at(lambda fakes: self._loss.generator(reals, fakes), fakes)
                batch = batch._replace(tangent=tangent)
            found = self._learner.compute(self._losses, batch, parts, [overlap])
            if path_length.weight:
                found = found.plus(self._compute_path_length(path_batch, path_length.weight))
        metrics = {**found.metrics, "generator_loss": found.loss}
        if style is not None:
            metrics["mean_style"] = style
        return self._learner.apply_gradients(found, metrics)

    def apply_path_length(self, batch: PathBatch) -> Metrics:
        """Update on the lazy path length regularisation alone, times `path_length_every`."""
        settings = self.config.objective
        found = self._compute_path_length(batch, settings.path_length * settings.path_length_every)
        return self._learner.apply_gradients(found, found.metrics)

    @cached_property
    def _loss(self) -> Adversarial:
        return LOSSES[self.config.objective.loss]

    @cached_property
    def _learner(self) -> Learner:
        # Leave out the discriminator's weights: this update does not need their gradients.
        return Learner(
            "generator",
            trained_values(self.models.generator),
            self.models.generator_optimizer,
            self.models.generator_loss_scale,
            self.replicas,
            clip_norm=self.config.optimizer.clip_norm,
        )

    def _losses(self, batch: GeneratorBatch, terms: Sequence[Term]) -> Losses:
        found, labels = self._judge_fakes(batch)
        if batch.tangent is None:
            losses = self._loss.generator(self._real_scores(batch), found.scores)
        else:
            losses = batch.tangent(found.scores)
        label = found.label_term(
            "generator_label_loss",
            self.config.objective.label_weight,
            lambda: label_loss(labels, found.logits),
        )
        return add_terms(tf.squeeze(losses, axis=1), [*terms, label])

    def _judge_fakes(self, batch: GeneratorBatch) -> tuple[Judgement, Any]:
        """Generate and score fakes; also returns their labels in the order of the scores."""
        fakes = self.models.generation.images(batch.draws, batch.labels)
        images = self.models.augmentation.apply(fakes, batch.fake_augmentation)
        labels = batch.labels
        parts = [(images, labels)]
        if self.config.run.intra_op_threads == 1:
            # Nothing else can run in parallel with this pass: halves of it use two threads.
            group_size = self.config.network.stddev_group
            parts = list(zip(halves(images, group_size), halves(labels, group_size), strict=True))
        found = [discriminate(self.models.discriminator, *part) for part in parts]
        scores = tf.concat([part.scores for part in found], axis=0)
        labels = tf.concat([part for _, part in parts], axis=0)
        logits = None
        if found[0].logits is not None:
            logits = tf.concat([part.logits for part in found], axis=0)
        return Judgement(scores, logits), labels

    def _real_scores(self, batch: GeneratorBatch) -> Any:
        if not self._loss.needs_reals:
            return None
        seen = self.models.augmentation.apply(batch.reals, batch.real_augmentation)
        return discriminate(self.models.discriminator, seen, batch.labels).scores

    def _scores_of_both(self, batch: GeneratorBatch) -> tuple[Any, ...]:
        found, _ = self._judge_fakes(batch)
        return self._real_scores(batch), found.scores

    def _compute_path_length(self, batch: PathBatch | None, weight: float) -> LossAndGradients:
        assert batch is not None
        # The discriminator does not see a path batch, so there are no groups to keep whole.
        parts = micro_batches(batch.labels.shape[0], self.config.run.micro_batch, group=1)
        if parts > 1:
            [lengths] = map_micro_batches(
                lambda part: (self._lengths(part),), batch, parts, count=1
            )
            batch = batch._replace(tangent=tangent_at(self._path_penalties, lengths))

        def losses(batch: PathBatch, _: Sequence[Term]) -> Losses:
            penalty = self._path_penalty(batch)
            return weight * penalty, {"path_length": penalty}

        return self._learner.compute(losses, batch, parts)

    def _path_penalty(self, batch: PathBatch | None) -> Any:
        assert batch is not None
        lengths = self._lengths(batch)
        if batch.tangent is None:
            return tf.reduce_mean(self._path_penalties(lengths))
        return tf.reduce_mean(batch.tangent(lengths[:, tf.newaxis]))

    def _path_penalties(self, lengths: Any) -> Any:
        """Compute the penalties of a replica's whole path batch, and update the moving mean."""
        mean = self.models.path_length_mean
        assert mean is not None
        # Update the mean before the penalty, as in the official code.
        new_mean = update_mean(mean.value, lengths, decay=self.config.objective.path_length_decay)
        kept_mean = tf.stop_gradient(new_mean)
        # Skip infinite lengths, from too large a loss scale: they would stay in the mean.
        if self.models.generator_loss_scale is not None:
            kept_mean = tf.where(tf.math.is_finite(kept_mean), kept_mean, mean.value)
        mean.value.assign(kept_mean)
        return path_length_penalty(lengths, new_mean)

    def _lengths(self, batch: PathBatch) -> Any:
        """Compute the path lengths `(batch,)`."""
        generation, scale = self.models.generation, self.models.generator_loss_scale

        def lengths(noise: Any) -> Any:
            return path_lengths(
                lambda points: generation.images_at(points, batch.draws, batch.labels),
                generation.points(batch.draws, batch.labels),
                noise,
            )

        if scale is None:
            return lengths(batch.noise)
        # Scale inside the gradient by the points: it is float16 as well.
        root = scale.root
        return lengths(batch.noise * root) / root
