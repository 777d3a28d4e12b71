"""What one phase trains: models of one resolution, their optimizers and what goes with them."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from pipeline.training.loss_scale import LossScale


@dataclass(frozen=True)
class PhaseModels:
    """Models of one resolution and fresh optimizers.

    Args:
        generator: Latents to images.
        discriminator: Images to scores.
        average: The moving average of the generator.
        generator_optimizer: Fresh.
        discriminator_optimizer: Fresh.
        alphas: The fade-in weights, none while no size is faded in.
        path_length_mean: Moving mean of path lengths, None without that regulariser.
        generator_loss_scale: Of float16, else None.
        discriminator_loss_scale: Of float16, else None.
    """

    generator: keras.Model
    discriminator: keras.Model
    average: keras.Model
    generator_optimizer: keras.optimizers.Optimizer
    discriminator_optimizer: keras.optimizers.Optimizer
    alphas: tuple[keras.Variable, ...]
    path_length_mean: keras.Variable | None = None
    generator_loss_scale: LossScale | None = None
    discriminator_loss_scale: LossScale | None = None
