"""Models, optimizers and other variables of one phase, and their names in checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from pipeline.objectives.orthogonal import total_overlap
from pipeline.sampling.sampler import AnySampler
from pipeline.training.optimization.loss_scale import LossScale
from pipeline.training.synthesis.discriminator_augmentation import Augmentation
from pipeline.training.synthesis.generation import Generation


@dataclass(frozen=True)
class PhaseModels:
    """Models of one phase, new optimizers, and variables that are kept across phases."""

    generator: keras.Model
    discriminator: keras.Model
    average: keras.Model
    average_sampler: AnySampler
    generator_optimizer: keras.optimizers.Optimizer
    discriminator_optimizer: keras.optimizers.Optimizer
    generation: Generation
    augmentation: Augmentation
    alphas: tuple[keras.Variable, ...]  # Fade-in weights; empty while no size fades in.
    style_means: tuple[keras.Variable, ...] = ()  # Only families with styles have any.
    path_length_mean: keras.Variable | None = None
    generator_loss_scale: LossScale | None = None  # Only float16 gradients need one.
    discriminator_loss_scale: LossScale | None = None

    @property
    def variables(self) -> dict[str, Any]:
        """All variables that a restart of the phase needs, by a stable name.

        Weights are named as in `weights_of`, where a layer's name has the network and the
        resolution; optimizer variables are `<optimizer>/<variable>`. No name depends on the final
        size or on the order of creation.
        """
        networks = (self.generator, self.discriminator, self.average)
        found = {name: weight.value for name, weight in weights_of(*networks).items()}
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            found |= {
                # Replace the start of Keras's path, which numbers optimizers as they are created.
                f"{optimizer.name}/{variable.path.partition('/')[2]}": variable.value
                for variable in optimizer.variables
            }
        others = [] if self.path_length_mean is None else [self.path_length_mean]
        others += self.augmentation.variables
        for scale in (self.generator_loss_scale, self.discriminator_loss_scale):
            others += () if scale is None else scale.variables
        return found | {variable.name: variable.value for variable in others}


def weights_of(*models: keras.Model) -> dict[str, keras.Variable]:
    """Collect the weights of models by their names in a checkpoint, `<layer>/<weight>`.

    Raises:
        ValueError: if two weights have the same name, as weights of nested layers may.
    """
    found: dict[str, keras.Variable] = {}
    for model in models:
        for layer in model.layers:
            for weight in layer.weights:
                name = f"{layer.name}/{weight.name}"
                # Refuse equal names: a checkpoint would silently keep only one of the weights.
                if found.setdefault(name, weight) is not weight:
                    raise ValueError(f"names of weights must be unique. Received: {name}, twice")
    return found


def trained_values(model: keras.Model) -> list[Any]:
    """List the variables of a model's trained weights."""
    return [weight.value for weight in model.trainable_variables]


def overlap_of(model: keras.Model) -> Any:
    """Compute the total overlap of a model's kernels, for orthogonal regularisation."""
    kernels = [layer.scaled_kernel() for layer in model.layers if hasattr(layer, "scaled_kernel")]
    return total_overlap(kernels)
