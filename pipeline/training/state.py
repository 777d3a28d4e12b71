"""Everything of a run that changes while it trains, and its flat dictionary of variables."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from pipeline.config import Config
from pipeline.networks.progan import Discriminator, Generator
from pipeline.schedule import Phase
from pipeline.training.step import PhaseModels


class TrainingState:
    """Networks that grow through the phases of a run.

    Blocks are made once, when first used; the optimizers of a phase are fresh, as the official code
    resets Adam at both ends of a fade.

    Args:
        config: Of the run.
        label_size: Number of classes, 0 without labels.
        strategy: Under whose scope variables are made.
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
        }
        with strategy.scope():
            precision = config.run.precision
            self._generator = Generator(config.network, precision=precision, **sizes)
            self._discriminator = Discriminator(config.network, precision=precision, **sizes)
            # The average starts as a copy: the first weights follow from the seed alone.
            self._average = Generator(config.network, name="average", **sizes)

    def models_for(self, phase: Phase) -> PhaseModels:
        """The phase's models, on blocks shared with earlier phases, and fresh optimizers."""
        with self._strategy.scope():
            networks = (self._generator, self._discriminator, self._average)
            generator, discriminator, average = (
                network.model(phase.resolution, fading=phase.fading) for network in networks
            )
            return PhaseModels(
                generator=generator,
                discriminator=discriminator,
                average=average,
                generator_optimizer=self._optimizer("generator_optimizer", phase, generator),
                discriminator_optimizer=self._optimizer(
                    "discriminator_optimizer", phase, discriminator
                ),
                alphas=tuple(n.fade.alpha for n in networks) if phase.fading else (),
            )

    def _optimizer(self, name: str, phase: Phase, model: keras.Model) -> keras.optimizers.Optimizer:
        settings = self._config.optimizer
        optimizer = keras.optimizers.Adam(
            phase.learning_rate,
            beta_1=settings.beta_1,
            beta_2=settings.beta_2,
            epsilon=settings.epsilon,
            name=name,
        )
        optimizer.build(model.trainable_variables)
        return optimizer


def variables_of(models: PhaseModels) -> dict[str, Any]:
    """Every variable that a restart of this phase needs, by a stable name.

    Weights are `<layer>/<weight>`, where the layer's name carries network and resolution; optimizer
    variables are `<optimizer>/<variable>`. No name depends on the final size or order of creation.
    """
    variables = {
        f"{layer.name}/{weight.name}": weight.value
        for model in (models.generator, models.discriminator, models.average)
        for layer in model.layers
        for weight in layer.weights
    }
    for optimizer in (models.generator_optimizer, models.discriminator_optimizer):
        variables |= {
            f"{optimizer.name}/{variable.path.partition('/')[2]}": variable.value
            for variable in optimizer.variables
        }
    return variables
