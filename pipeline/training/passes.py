"""Passes through the networks: images of a batch, and what the discriminator says of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from pipeline.augmentation.draws import Draws as Augmentations
from pipeline.config import Config
from pipeline.objectives.path_length import path_lengths
from pipeline.objectives.penalties import squared_gradient
from pipeline.training.batches import CriticBatch, GeneratorBatch, PathBatch
from pipeline.training.phase_models import PhaseModels
from pipeline.training.scoring import Judgement, halves, judged, judged_apart


@dataclass(frozen=True)
class Passes:
    """What losses are functions of, of a replica's batch.

    Args:
        config: Of the run.
        models: Of the phase.
    """

    config: Config
    models: PhaseModels

    def fakes(self, batch: CriticBatch | GeneratorBatch) -> Any:
        """The images of its draws, or None without any."""
        if batch.draws is None:
            return None
        return self.models.generation.images(batch.draws, batch.labels)

    def reals_seen(self, batch: CriticBatch | GeneratorBatch) -> Any:
        """The reals as the discriminator sees them."""
        return self.models.augmentation.seen(batch.reals, batch.real_augmentation)

    def scores(self, images: Any, labels: Any) -> Any:
        """`(batch, 1)`, of images as they are seen."""
        return judged(self.models.discriminator, images, labels).scores

    def judged_both(
        self, batch: CriticBatch, reals_seen: Any, fakes: Any
    ) -> tuple[Judgement, Judgement]:
        """What is said of the reals and of the fakes."""
        fakes_seen = self.models.augmentation.seen(fakes, batch.fake_augmentation)
        group_size = self.config.network.stddev_group
        return judged_apart(
            self.models.discriminator, reals_seen, fakes_seen, batch.labels, group_size
        )

    def scores_of_both(self, batch: CriticBatch) -> tuple[Any, ...]:
        """`(batch, 1)` of the reals and of the fakes."""
        reals, fakes = self.judged_both(batch, self.reals_seen(batch), self.fakes(batch))
        return reals.scores, fakes.scores

    def judged_fakes(self, batch: GeneratorBatch) -> tuple[Judgement, Any]:
        """What is said of the fakes, and their labels in the same order."""
        images = self.models.augmentation.seen(self.fakes(batch), batch.fake_augmentation)
        labels = batch.labels
        parts = [(images, labels)]
        if self.config.run.intra_op_threads == 1:
            # Nothing else is left to do beside this pass: each half occupies a thread.
            group_size = self.config.network.stddev_group
            parts = list(zip(halves(images, group_size), halves(labels, group_size), strict=True))
        found = [judged(self.models.discriminator, *part) for part in parts]
        scores = tf.concat([part.scores for part in found], axis=0)
        labels = tf.concat([part for _, part in parts], axis=0)
        logits = None
        if found[0].logits is not None:
            logits = tf.concat([part.logits for part in found], axis=0)
        return Judgement(scores, logits), labels

    def squared_gradient(self, images: Any, labels: Any, augmentation: Augmentations) -> Any:
        """At the images as they are, through what is done to them before they are scored."""

        def scores(images: Any) -> Any:
            return self.scores(self.models.augmentation.seen(images, augmentation), labels)

        scale = self.models.discriminator_loss_scale
        if scale is None:
            return squared_gradient(scores, images)
        root = scale.root
        return squared_gradient(lambda x: scores(x) * root, images) / tf.square(root)

    def path_lengths(self, batch: PathBatch) -> Any:
        """`(batch,)`, of the images of its draws."""
        generation = self.models.generation

        def lengths(noise: Any) -> Any:
            return path_lengths(
                lambda points: generation.images_at(points, batch.draws, batch.labels),
                generation.points(batch.draws, batch.labels),
                noise,
            )

        scale = self.models.generator_loss_scale
        if scale is None:
            return lengths(batch.noise)
        root = scale.root
        return lengths(batch.noise * root) / root
