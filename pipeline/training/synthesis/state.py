"""State of synthesis: the networks of a run, from which each phase gets its models."""

from __future__ import annotations

import re
from typing import Any

import keras
import tensorflow as tf

from pipeline.config import Config
from pipeline.families.config import StyledConfig
from pipeline.families.family import family_of
from pipeline.sampling.sampler import LatentSampler, sampler_of
from pipeline.schedule import Phase
from pipeline.shape import start_shape
from pipeline.training.optimization.lazy_regularization import adam_constants
from pipeline.training.optimization.loss_scale import LossScale
from pipeline.training.synthesis.discriminator_augmentation import Augmentation
from pipeline.training.synthesis.generation import FromLatents, FromStyles, Generation
from pipeline.training.synthesis.phase_models import PhaseModels


class TrainingState:
    """Networks of a run, which grow through its phases; optimizers are new in each phase.

    Args:
        config: Configuration of the run.
        label_size: Number of classes, 0 without labels.
        strategy: The `tf.distribute` strategy, which places the variables.
    """

    def __init__(
        self, config: Config, *, label_size: int, strategy: tf.distribute.Strategy
    ) -> None:
        self._config = config
        self._strategy = strategy
        sizes: dict[str, Any] = {
            "channels": config.data.channels,
            "label_size": label_size,
            "seed": config.run.seed,
            "start": start_shape(config.schedule.shape),
        }
        family = family_of(config.network)
        with strategy.scope():
            precision = config.run.precision
            self._generator = family.generator(config.network, precision=precision, **sizes)
            self._discriminator = family.discriminator(config.network, precision=precision, **sizes)
            # The EMA. It starts as a copy of the generator, because initial weights follow from the
            # seed. It is always float32, because it is exported.
            self._average = family.generator(config.network, name="average", **sizes)
            # Keep the mean across phases: path lengths do not depend on the resolution.
            self._path_length_mean = (
                keras.Variable(
                    0.0,
                    trainable=False,
                    autocast=False,
                    name="path_length_mean",
                    aggregation="only_first_replica",  # All replicas compute the same mean.
                )
                if config.objective.path_length
                else None
            )
            # Keep the augmentation's probability across phases: which one is right depends on the
            # data, not on the resolution.
            self._augmentation = Augmentation(config.augmentation)
            # Keep loss scales across phases: a factor without overflow in one is good for the next.
            self._generator_loss_scale, self._discriminator_loss_scale = (
                LossScale(network) if precision == "mixed_float16" else None
                for network in ("generator", "critic")
            )

    def models_for(self, phase: Phase) -> PhaseModels:
        """Build the models of a phase on blocks of earlier phases, with new optimizers."""
        objective = self._config.objective
        with self._strategy.scope():
            networks = (self._generator, self._discriminator, self._average)
            generator, discriminator, average = (
                network.model(phase.resolution, fading=phase.fading) for network in networks
            )
            if self._config.optimizer.frozen_from is not None:
                _freeze(discriminator, self._config.optimizer.frozen_from)
            return PhaseModels(
                generator=generator,
                discriminator=discriminator,
                average=average,
                average_sampler=sampler_of(
                    self._average, average, phase.resolution, fading=phase.fading
                ),
                generator_optimizer=self._optimizer(
                    "generator_optimizer",
                    generator,
                    phase.learning_rate,
                    every=objective.path_length_every if objective.path_length else 1,
                ),
                discriminator_optimizer=self._optimizer(
                    "discriminator_optimizer",
                    discriminator,
                    phase.learning_rate * self._config.optimizer.discriminator_rate_factor,
                    every=objective.penalty_every,
                ),
                generation=self._generation(generator, phase),
                augmentation=self._augmentation,
                alphas=tuple(n.fade.alpha for n in networks) if phase.fading else (),
                style_means=tuple(
                    network.truncation.mean for network in (self._generator, self._average)
                )
                if self._config.network.has_styles
                else (),
                path_length_mean=self._path_length_mean,
                generator_loss_scale=self._generator_loss_scale,
                discriminator_loss_scale=self._discriminator_loss_scale,
            )

    def _generation(self, model: keras.Model, phase: Phase) -> Generation:
        sampler = sampler_of(self._generator, model, phase.resolution, fading=phase.fading)
        if isinstance(sampler, LatentSampler):
            return FromLatents(sampler)
        network = self._config.network
        assert isinstance(network, StyledConfig)
        return FromStyles(sampler, network.mixing)

    def _optimizer(
        self, name: str, model: keras.Model, rate: float, *, every: int
    ) -> keras.optimizers.Optimizer:
        settings = self._config.optimizer
        rate, beta_1, beta_2 = adam_constants(rate, settings.beta_1, settings.beta_2, every=every)
        # Make a new one for each phase: the official code resets Adam at both ends of a fade.
        optimizer = keras.optimizers.Adam(
            rate, beta_1=beta_1, beta_2=beta_2, epsilon=settings.epsilon, name=name
        )
        # Build it here: variables cannot be created in a distributed step.
        optimizer.build(model.trainable_variables)
        return optimizer


def _freeze(discriminator: keras.Model, resolution: int) -> None:
    """Freeze the discriminator's blocks from a resolution on (FreezeD, arXiv:2002.10964)."""
    for layer in discriminator.layers:
        height = re.search(r"_(\d+)x\d+(?:_|$)", layer.name)
        if height and int(height[1]) >= resolution:
            layer.trainable = False
