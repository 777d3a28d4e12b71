"""Inputs of the updates: a replica's reals as they fade in, and its share of all draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from layers.resample import box_down, nearest_up
from pipeline.augmentation.draws import Draws as Augmentations
from pipeline.config import Config
from pipeline.schedule import Phase
from pipeline.training.distributed.replicas import place_of, readers_of, share_of
from pipeline.training.loop.randomness import Purpose, key
from pipeline.training.optimization.gradients import Tangent
from pipeline.training.synthesis.generation import Draws
from pipeline.training.synthesis.phase_models import PhaseModels


class CriticBatch(NamedTuple):
    """Inputs of one update of the discriminator, a row a sample.

    Args:
        reals: `(batch, height, width, channels)`.
        draws: Draws of which the fakes are made, or None where no regulariser looks at them.
        labels: One-hot `(batch, classes)`, of reals and fakes.
        mix_weights: Uniform `(batch, 1, 1, 1)`, between reals and fakes.
        moves: Uniform `(batch, 3)`, by which the reals are moved.
        real_augmentation: Augmentation with which the reals are seen.
        fake_augmentation: Augmentation with which the fakes are seen.
        tangent: Tangent in place of the adversarial loss, where this is a part of a batch whose
            samples meet in it.
    """

    reals: Any
    draws: Draws | None
    labels: Any
    mix_weights: Any
    moves: Any
    real_augmentation: Augmentations = Augmentations()
    fake_augmentation: Augmentations = Augmentations()
    tangent: Tangent | None = None


class GeneratorBatch(NamedTuple):
    """Inputs of one update of the generator, a row a sample.

    Args:
        draws: Draws of which the fakes are made.
        labels: One-hot `(batch, classes)`.
        reals: Reals for losses that compare with them.
        real_augmentation: Augmentation with which the reals are seen.
        fake_augmentation: Augmentation with which the fakes are seen.
        tangent: Tangent as in `CriticBatch`.
    """

    draws: Draws
    labels: Any
    reals: Any
    real_augmentation: Augmentations = Augmentations()
    fake_augmentation: Augmentations = Augmentations()
    tangent: Tangent | None = None


class PathBatch(NamedTuple):
    """Inputs of one update on the path length, a row a sample.

    Args:
        draws: Draws of which images are made.
        labels: One-hot `(batch, classes)`.
        noise: Normal, of the images' shape.
        tangent: Tangent in place of the penalty, where this is a part of a batch.
    """

    draws: Draws
    labels: Any
    noise: Any
    tangent: Tangent | None = None


class CriticPurposes(NamedTuple):
    """Purposes of the draws for one update of the discriminator."""

    latents: Purpose
    mix: Purpose
    reals_seen: Purpose
    fakes_seen: Purpose


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
"""Path lengths are measured on a batch so many times smaller, as in the official StyleGAN2."""


class ReplicaBatches:
    """Maker of the inputs of a phase's updates, called in a replica.

    Each takes a batch of `dataset_for`, this replica's part of it, and the clock.

    Args:
        config: Configuration of the run.
        phase: Phase that is trained.
        models: Models of the phase.
        strategy: Strategy under which they were made.
        roll_backs: Number of roll backs so far.
    """

    def __init__(
        self,
        config: Config,
        phase: Phase,
        models: PhaseModels,
        strategy: tf.distribute.Strategy,
        roll_backs: int,
    ) -> None:
        self._config = config
        self._phase = phase
        self._models = models
        self._replicas: int = strategy.num_replicas_in_sync
        self._readers = readers_of(strategy)
        self._size = phase.batch_size // self._replicas
        self._roll_backs = roll_backs

    def for_critic(self, batch: Any, images_seen: Any, alpha: Any) -> CriticBatch:
        """For an update of the discriminator."""
        return self._for_critic(batch, images_seen, alpha, CRITIC, fakes=True)

    def for_penalties(
        self, batch: Any, images_seen: Any, alpha: Any, *, fakes: bool
    ) -> CriticBatch:
        """For an update on lazy penalties, with or without what fakes are made of."""
        return self._for_critic(batch, images_seen, alpha, LAZY, fakes=fakes)

    def for_generator(
        self, batch: Any, images_seen: Any, alpha: Any, repeat: int
    ) -> GeneratorBatch:
        """For one of several updates of the generator in a step."""
        return GeneratorBatch(
            draws=self._draws(Purpose.GENERATOR_LATENTS, images_seen, repeat),
            labels=batch["labels"],
            reals=self._reals(batch, alpha),
            real_augmentation=self._augmentation(Purpose.GENERATOR_REALS_SEEN, images_seen, repeat),
            fake_augmentation=self._augmentation(Purpose.GENERATOR_FAKES_SEEN, images_seen, repeat),
        )

    def for_path_length(self, batch: Any, images_seen: Any, repeat: int) -> PathBatch:
        """For one of several updates on the path length."""
        count = max(1, self._size // PATH_SHARE)
        shape = (count, *self._phase.shape, self._config.data.channels)
        normal = tf.random.stateless_normal
        return PathBatch(
            draws=self._draws(Purpose.PATH_LATENTS, images_seen, repeat, count),
            labels=batch["labels"][:count],
            noise=self._draw(Purpose.PATH_NOISE, normal, shape, images_seen, repeat),
        )

    def _for_critic(
        self,
        batch: Any,
        images_seen: Any,
        alpha: Any,
        purposes: CriticPurposes,
        *,
        fakes: bool,
    ) -> CriticBatch:
        uniform = tf.random.stateless_uniform
        return CriticBatch(
            reals=self._reals(batch, alpha),
            draws=self._draws(purposes.latents, images_seen) if fakes else None,
            labels=batch["labels"],
            mix_weights=self._draw(purposes.mix, uniform, (self._size, 1, 1, 1), images_seen),
            moves=self._draw(Purpose.CONSISTENCY, uniform, (self._size, 3), images_seen),
            real_augmentation=self._augmentation(purposes.reals_seen, images_seen),
            fake_augmentation=self._augmentation(purposes.fakes_seen, images_seen),
        )

    def _reals(self, batch: Any, alpha: Any) -> Any:
        reals = scaled(batch["images"])
        return fade_reals(reals, alpha) if self._phase.fading else reals

    def _draws(
        self, purpose: Purpose, images_seen: Any, repeat: int = 0, count: int | None = None
    ) -> Draws:
        """Draw the random inputs of a replica's images, as many as it has reals."""
        samples = count or self._size

        def draw(
            sampler: Callable[..., Any],
            shape: tuple[int, ...],
            *,
            part: int = 0,
            for_all: bool = False,
        ) -> Any:
            if for_all:
                same = sampler(shape, self._key(purpose, images_seen, repeat, part))
                return tf.repeat(same[tf.newaxis], samples, axis=0)
            return self._draw(purpose, sampler, (samples, *shape), images_seen, repeat, part)

        return self._models.generation.draws(draw)

    def _augmentation(self, purpose: Purpose, images_seen: Any, repeat: int = 0) -> Augmentations:
        """This replica's share of what the images of a batch are augmented with."""
        shape = (self._phase.batch_size, *self._phase.shape, self._config.data.channels)
        pair = self._key(purpose, images_seen, repeat, part=0)
        everyone = self._models.augmentation.draws(pair, shape)
        return Augmentations(*(None if each is None else self._share(each) for each in everyone))

    def _draw(
        self,
        purpose: Purpose,
        sampler: Callable[..., Any],
        shape: tuple[int, ...],
        images_seen: Any,
        repeat: int = 0,
        part: int = 0,
    ) -> Any:
        """This replica's share, of that shape, of what is drawn for all of them."""
        pair = self._key(purpose, images_seen, repeat, part)
        return self._share(sampler((shape[0] * self._replicas, *shape[1:]), pair))

    def _share(self, everyone: Any) -> Any:
        """This replica's rows of what was drawn for all."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return share_of(everyone, place_of(replica, self._replicas, self._readers), self._replicas)

    def _key(self, purpose: Purpose, images_seen: Any, repeat: int, part: int) -> Any:
        return key(
            self._config.run.seed,
            purpose,
            images_seen,
            repeat=repeat,
            part=part,
            roll_backs=self._roll_backs,
        )


def scaled(images: Any) -> Any:
    """uint8 0 … 255 → float32 -1 … 1, same shape."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def fade_reals(images: Any, alpha: Any) -> Any:
    """Real images as coarse as the faded-in network's: blended with their half-size selves."""
    coarse = nearest_up(box_down(images, 2), 2)
    return coarse + (images - coarse) * alpha
