"""Models of one phase, with their optimizers and further variables."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from pipeline.sampling.sampler import AnySampler
from pipeline.training.optimization.loss_scale import LossScale
from pipeline.training.synthesis.discriminator_augmentation import Augmentation
from pipeline.training.synthesis.generation import Generation


@dataclass(frozen=True)
class PhaseModels:
    """Models of one resolution and fresh optimizers.

    Args:
        generator: Model from latents to images.
        discriminator: Model from images to scores.
        average: EMA of the generator.
        average_sampler: Sampler of the EMA.
        generator_optimizer: New optimizer of the generator.
        discriminator_optimizer: New optimizer of the discriminator.
        generation: Generation of fakes during training.
        augmentation: Augmentation of the images that the discriminator sees.
        alphas: Fade-in weights of all networks, none while no size fades in.
        style_means: Running means of styles, none in families without styles.
        path_length_mean: Moving mean of path lengths, None without that regulariser.
        generator_loss_scale: Loss scale of the generator under float16, else None.
        discriminator_loss_scale: Loss scale of the discriminator under float16, else None.
    """

    generator: keras.Model
    discriminator: keras.Model
    average: keras.Model
    average_sampler: AnySampler
    generator_optimizer: keras.optimizers.Optimizer
    discriminator_optimizer: keras.optimizers.Optimizer
    generation: Generation
    augmentation: Augmentation
    alphas: tuple[keras.Variable, ...]
    style_means: tuple[keras.Variable, ...] = ()
    path_length_mean: keras.Variable | None = None
    generator_loss_scale: LossScale | None = None
    discriminator_loss_scale: LossScale | None = None
