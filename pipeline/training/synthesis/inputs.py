"""Inputs of one replica's updates: its real images, and its share of all random numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from layers.resample import box_down, nearest_up
from pipeline.augmentation.draws import Draws as Augmentations
from pipeline.config import Config
from pipeline.schedule import Phase
from pipeline.training.distributed.replicas import first_sample_of, readers_of, share_of
from pipeline.training.loop.randomness import Purpose, key
from pipeline.training.optimization.micro_batches import Tangent
from pipeline.training.synthesis.generation import LatentBatch
from pipeline.training.synthesis.phase_models import PhaseModels


class CriticBatch(NamedTuple):
    """Inputs of one update of the discriminator, one row per sample."""

    reals: Any  # Reals `(batch, height, width, channels)`
    draws: LatentBatch | None  # Random inputs of the fakes; None if no loss uses fakes
    labels: Any  # One-hot labels `(batch, classes)` of reals and fakes
    mix_weights: Any  # Uniform weights for mixing reals and fakes, `(batch, 1, 1, 1)`
    moves: Any  # Uniform numbers for shifting and mirroring reals, `(batch, 3)`
    real_augmentation: Augmentations = Augmentations()  # Draws for the augmentation of the reals
    fake_augmentation: Augmentations = Augmentations()  # Draws for the augmentation of the fakes
    tangent: Tangent | None = None
    """Linearised adversarial loss, for micro-batches if samples meet in the loss."""


class GeneratorBatch(NamedTuple):
    """Inputs of one update of the generator; fields are as in `CriticBatch`."""

    draws: LatentBatch
    labels: Any
    reals: Any
    real_augmentation: Augmentations = Augmentations()
    fake_augmentation: Augmentations = Augmentations()
    tangent: Tangent | None = None


class PathBatch(NamedTuple):
    """Inputs of path length regularisation; the noise is standard normal, shaped like images."""

    draws: LatentBatch
    labels: Any
    noise: Any
    tangent: Tangent | None = None


class CriticPurposes(NamedTuple):
    """Purposes of the draws in one kind of update of the discriminator."""

    latents: Purpose  # Draws of the fakes' random inputs
    mix: Purpose  # Weights for mixing reals and fakes
    reals_seen: Purpose  # Augmentation of the reals
    fakes_seen: Purpose  # Augmentation of the fakes


CRITIC = CriticPurposes(
    Purpose.CRITIC_LATENTS,
    Purpose.PENALTY_MIX,
    Purpose.CRITIC_REALS_SEEN,
    Purpose.CRITIC_FAKES_SEEN,
)
LAZY = CriticPurposes(
    Purpose.LAZY_FAKES, Purpose.LAZY_MIX, Purpose.LAZY_REALS_SEEN, Purpose.LAZY_FAKES_SEEN
)
PATH_SHARE = 2
"""Factor by which batches for path lengths are smaller, as in the official StyleGAN2."""


@dataclass(frozen=True)
class ReplicaBatches:
    """Maker of the inputs of a phase's updates. Call it in a replica.

    Its methods take this replica's share of a batch, and the images seen before that batch.
    """

    config: Config
    phase: Phase
    models: PhaseModels
    strategy: tf.distribute.Strategy
    roll_backs: int

    @property
    def _replicas(self) -> int:
        return int(self.strategy.num_replicas_in_sync)

    @property
    def _size(self) -> int:
        return self.phase.batch_size // self._replicas

    def for_critic(
        self,
        batch: Any,
        images_seen: Any,
        alpha: Any,
        purposes: CriticPurposes = CRITIC,
        *,
        fakes: bool = True,
    ) -> CriticBatch:
        """Make the inputs of an update of the discriminator, with or without draws for fakes."""
        uniform = tf.random.stateless_uniform
        mix = self._key(purposes.mix, images_seen)
        moves = self._key(Purpose.CONSISTENCY, images_seen)
        return CriticBatch(
            reals=self._reals(batch, alpha),
            draws=self._draws(purposes.latents, images_seen) if fakes else None,
            labels=batch["labels"],
            mix_weights=self._draw(mix, uniform, (self._size, 1, 1, 1)),
            # Draw numbers per sample, do not pass a seed: replicas then move images as one device.
            moves=self._draw(moves, uniform, (self._size, 3)),
            real_augmentation=self._augmentation(purposes.reals_seen, images_seen),
            fake_augmentation=self._augmentation(purposes.fakes_seen, images_seen),
        )

    def for_generator(
        self, batch: Any, images_seen: Any, alpha: Any, repeat: int
    ) -> GeneratorBatch:
        """Make the inputs of the generator's update number `repeat`, from 0 on, in a step."""
        return GeneratorBatch(
            draws=self._draws(Purpose.GENERATOR_LATENTS, images_seen, repeat),
            labels=batch["labels"],
            reals=self._reals(batch, alpha),
            real_augmentation=self._augmentation(Purpose.GENERATOR_REALS_SEEN, images_seen, repeat),
            fake_augmentation=self._augmentation(Purpose.GENERATOR_FAKES_SEEN, images_seen, repeat),
        )

    def for_path_length(self, batch: Any, images_seen: Any, repeat: int) -> PathBatch:
        """Make the inputs of path length regularisation in update number `repeat` of a step."""
        count = max(1, self._size // PATH_SHARE)
        shape = (count, *self.phase.shape, self.config.data.channels)
        pair = self._key(Purpose.PATH_NOISE, images_seen, repeat)
        return PathBatch(
            draws=self._draws(Purpose.PATH_LATENTS, images_seen, repeat, count),
            labels=batch["labels"][:count],
            noise=self._draw(pair, tf.random.stateless_normal, shape),
        )

    def _reals(self, batch: Any, alpha: Any) -> Any:
        reals = normalize_images(batch["images"])
        return fade_reals(reals, alpha) if self.phase.fading else reals

    def _draws(
        self, purpose: Purpose, images_seen: Any, repeat: int = 0, count: int | None = None
    ) -> LatentBatch:
        """Draw the random inputs of a replica's fakes, by default as many as it has reals."""
        samples = count or self._size

        def draw(
            distribution: Callable[..., Any],
            shape: tuple[int, ...],
            *,
            part: int = 0,
            for_all: bool = False,
        ) -> Any:
            pair = self._key(purpose, images_seen, repeat, part)
            if for_all:
                # Every replica has the same key, so all replicas draw the same numbers.
                return tf.repeat(distribution(shape, pair)[tf.newaxis], samples, axis=0)
            return self._draw(pair, distribution, (samples, *shape))

        return self.models.generation.draws(draw)

    def _augmentation(self, purpose: Purpose, images_seen: Any, repeat: int = 0) -> Augmentations:
        """Draw this replica's share of the augmentation of a batch."""
        shape = (self.phase.batch_size, *self.phase.shape, self.config.data.channels)
        all_draws = self.models.augmentation.draws(self._key(purpose, images_seen, repeat), shape)
        return Augmentations(*(None if each is None else self._share(each) for each in all_draws))

    def _draw(self, pair: Any, distribution: Callable[..., Any], shape: tuple[int, ...]) -> Any:
        """Draw numbers for all replicas, and take this replica's share, in the given shape."""
        # Draw for the global batch: numbers then do not depend on how many replicas there are.
        return self._share(distribution((shape[0] * self._replicas, *shape[1:]), pair))

    def _share(self, all_draws: Any) -> Any:
        """Take this replica's rows of a draw for all replicas."""
        # Take the rows that this replica's reals have in the global batch.
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        place = first_sample_of(replica, self._replicas, readers_of(self.strategy))
        return share_of(all_draws, place, self._replicas)

    def _key(self, purpose: Purpose, images_seen: Any, repeat: int = 0, part: int = 0) -> Any:
        return key(
            self.config.run.seed,
            purpose,
            images_seen,
            repeat=repeat,
            part=part,
            roll_backs=self.roll_backs,
        )


def normalize_images(images: Any) -> Any:
    """Scale images from uint8, 0 … 255, to float32, -1 … 1."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def fade_reals(images: Any, alpha: Any) -> Any:
    """Blend reals with their half-size versions, as the generator fades in the new size."""
    # The official code does this too.
    coarse = nearest_up(box_down(images, 2), 2)
    return coarse + (images - coarse) * alpha
