"""One phase of synthesis: its batches, compiled step, measurements and sample images."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from pipeline.config import Config
from pipeline.data.dataset import dataset_for
from pipeline.data.records import RecordSet
from pipeline.schedule import Phase, Progress
from pipeline.training.distributed.batches import batches_of
from pipeline.training.loop.task import Pictures
from pipeline.training.optimization.gradients import Metrics
from pipeline.training.synthesis.diversity import Diversity
from pipeline.training.synthesis.phase_models import PhaseModels
from pipeline.training.synthesis.step import SynthesisStep
from savedmodels.exportable import Exportable
from savedmodels.seeds import to_uint8

SAMPLES = 64  # Number of sample images.
AT_ONCE = 8
"""Number of samples generated at once; all 64 would take more memory than a step at large sizes."""


@dataclass(frozen=True)
class SynthesisPhase:
    """One phase of synthesis, as the protocol `PhaseTask` of the training loop."""

    config: Config
    records: RecordSet
    strategy: tf.distribute.Strategy
    phase: Phase
    models: PhaseModels
    classes: int
    diversity: Diversity | None

    @property
    def images_per_step(self) -> int:
        """Number of real images in all updates of the discriminator in a step."""
        return self.phase.batch_size * self.config.objective.critic_steps

    @property
    def variables(self) -> Mapping[str, Any]:
        """Variables of networks, optimizers, augmentation and loss scales."""
        return self.models.variables

    @property
    def exportable(self) -> Exportable:
        """EMA of the generator, for SavedModels."""
        return Exportable(self.models.average_sampler)

    def batches(self, images_seen: int) -> Iterator[Any]:
        """Yield lists of batches, one batch for each update of the discriminator in a step."""
        batches = batches_of(self.config, self.records, self.phase, images_seen, self.strategy)
        while True:
            yield list(itertools.islice(batches, self.config.objective.critic_steps))

    def compiled_step(self, known: Mapping[str, float], roll_backs: int) -> SynthesisStep:
        """Make the step; `known` has earlier metrics of lazy regularisers."""
        return SynthesisStep(self.config, self.phase, self.models, self.strategy, known, roll_backs)

    def measure(self, progress: Progress) -> Metrics:
        """Measure the diversity of fakes, unless its alarm is ignored."""
        if self.diversity is None:
            return {}
        return {"diversity": self.diversity(self.models, progress)}

    def samples(self) -> Pictures:
        """Generate images of seeds 0 to 63 with the EMA generator, cycling through the classes."""
        sampler = self.models.average_sampler
        latents = sampler.latents(range(SAMPLES))
        labels = tf.one_hot(tf.range(SAMPLES) % max(self.classes, 1), self.classes)
        parts = SAMPLES // AT_ONCE
        images = [
            to_uint8(sampler.images(sampler.points(part, part_labels), part_labels))
            for part, part_labels in zip(
                tf.split(latents, parts), tf.split(labels, parts), strict=True
            )
        ]
        return tf.concat(images, axis=0).numpy()

    def examples(self, images_seen: int) -> Pictures:
        """Return the first real images, at most 64, of the batch after `images_seen` images."""
        data = self.config.data
        batches = dataset_for(
            self.records,
            self.phase,
            images_seen=images_seen,
            seed=self.config.run.seed,
            mirror=data.mirror,
            labels=False,
        )
        return next(iter(batches))["images"][:SAMPLES].numpy()
