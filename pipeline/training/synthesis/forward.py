"""Forward passes of the networks: reals and fakes in one pass, or a batch in two halves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from pipeline.augmentation.draws import Draws as Augmentations
from pipeline.config import Config
from pipeline.objectives.path_length import path_lengths
from pipeline.objectives.penalties import squared_gradient
from pipeline.training.synthesis.inputs import CriticBatch, GeneratorBatch, PathBatch
from pipeline.training.synthesis.phase_models import PhaseModels


class Judgement(NamedTuple):
    """Output of the discriminator.

    Args:
        scores: Scores `(batch, 1)`.
        logits: Logits of the classes `(batch, classes)`; None in families that do not classify.
    """

    scores: Any
    logits: Any = None


def judged(discriminator: keras.Model, images: Any, labels: Any) -> Judgement:
    """Score images; labels are passed on if the discriminator has an input for them.

    Args:
        discriminator: Model from images, or `[images, labels]`, to `scores`, and in some families
            `logits`.
        images: Images `(batch, height, width, channels)`.
        labels: One-hot labels `(batch, classes)`.
    """
    told = len(tf.nest.flatten(discriminator.inputs)) > 1
    return Judgement(**discriminator([images, labels] if told else images))


def judged_apart(
    discriminator: keras.Model, reals: Any, fakes: Any, labels: Any, group_size: int
) -> tuple[Judgement, Judgement]:
    """Score reals and fakes with the same labels in one pass, with the result of two passes."""
    # Interleaved so that no group of the minibatch standard deviation, whose members are strided
    # through the batch, holds both reals and fakes.
    batch = reals.shape[0]
    if batch < group_size:  # One small group each: in one pass they would form one together.
        return judged(discriminator, reals, labels), judged(discriminator, fakes, labels)

    def interleaved(*kinds: Any) -> Any:
        shape = (group_size, batch // group_size)
        grouped = [tf.reshape(kind, (*shape, *kind.shape[1:])) for kind in kinds]
        return tf.reshape(tf.concat(grouped, axis=1), (2 * batch, *kinds[0].shape[1:]))

    both = judged(discriminator, interleaved(reals, fakes), interleaved(labels, labels))
    scores = halves(both.scores, group_size)
    logits = (None, None) if both.logits is None else halves(both.logits, group_size)
    first, second = map(Judgement, scores, logits)
    return first, second


def halves(samples: Any, group_size: int) -> tuple[Any, ...]:
    """Split a batch into halves of whole groups; an odd number of groups stays in one part."""
    # Not `share_of`: it would change the order of samples, on which last bits of sums depend.
    batch, *features = samples.shape
    groups, rest = divmod(batch, group_size)
    if rest or groups % 2:
        return (samples,)
    parts = tf.split(tf.reshape(samples, (group_size, groups, *features)), 2, axis=1)
    return tuple(tf.reshape(part, (batch // 2, *features)) for part in parts)


@dataclass(frozen=True)
class Passes:
    """Forward passes that the losses need, on one replica's batch.

    Args:
        config: Configuration of the run.
        models: Models of the phase.
    """

    config: Config
    models: PhaseModels

    def fakes(self, batch: CriticBatch | GeneratorBatch) -> Any:
        """Generate the fakes of a batch, None if it has no draws."""
        if batch.draws is None:
            return None
        return self.models.generation.images(batch.draws, batch.labels)

    def reals_seen(self, batch: CriticBatch | GeneratorBatch) -> Any:
        """Augment the reals of a batch."""
        return self.models.augmentation.seen(batch.reals, batch.real_augmentation)

    def scores(self, images: Any, labels: Any) -> Any:
        """Score augmented images, `(batch, 1)`."""
        return judged(self.models.discriminator, images, labels).scores

    def judged_both(
        self, batch: CriticBatch, reals_seen: Any, fakes: Any
    ) -> tuple[Judgement, Judgement]:
        """Score augmented reals, and fakes after augmentation."""
        fakes_seen = self.models.augmentation.seen(fakes, batch.fake_augmentation)
        group_size = self.config.network.stddev_group
        return judged_apart(
            self.models.discriminator, reals_seen, fakes_seen, batch.labels, group_size
        )

    def scores_of_both(self, batch: CriticBatch) -> tuple[Any, ...]:
        """Generate fakes, and score reals and fakes, `(batch, 1)` each."""
        reals, fakes = self.judged_both(batch, self.reals_seen(batch), self.fakes(batch))
        return reals.scores, fakes.scores

    def judged_fakes(self, batch: GeneratorBatch) -> tuple[Judgement, Any]:
        """Generate and score fakes; also returns their labels in the order of the scores."""
        images = self.models.augmentation.seen(self.fakes(batch), batch.fake_augmentation)
        labels = batch.labels
        parts = [(images, labels)]
        if self.config.run.intra_op_threads == 1:
            # Nothing else can run beside this pass, so two halves occupy two threads.
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
        """Squared gradient of the score by the images, through the augmentation."""

        def scores(images: Any) -> Any:
            return self.scores(self.models.augmentation.seen(images, augmentation), labels)

        scale = self.models.discriminator_loss_scale
        if scale is None:
            return squared_gradient(scores, images)
        # Scaled inside: the gradient is float16 itself, and would underflow.
        root = scale.root
        return squared_gradient(lambda x: scores(x) * root, images) / tf.square(root)

    def path_lengths(self, batch: PathBatch) -> Any:
        """Path lengths `(batch,)` of a batch."""
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
