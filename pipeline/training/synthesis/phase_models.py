"""Models of one phase, their optimizers and further variables."""

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
        generator: Latents to images.
        discriminator: Images to scores.
        average: The moving average of the generator.
        average_sampler: Sampler of the average.
        generator_optimizer: Fresh.
        discriminator_optimizer: Fresh.
        generation: Generation of images while the generator is trained.
        augmentation: Augmentation of what the discriminator sees.
        alphas: The fade-in weights, none while no size is faded in.
        style_means: Running means of styles, none in a family without any.
        path_length_mean: Moving mean of path lengths, None without that regulariser.
        generator_loss_scale: Loss scale of float16, else None.
        discriminator_loss_scale: Loss scale of float16, else None.
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
