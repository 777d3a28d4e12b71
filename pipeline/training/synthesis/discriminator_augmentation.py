"""Augmentation of the images that the discriminator sees, and its steered probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from pipeline.augmentation.augment import augment, draws
from pipeline.augmentation.controller import adjusted, first_probability
from pipeline.augmentation.draws import Draws
from pipeline.config import AugmentationConfig


class Augmentation:
    """The augmentation of a run, with the variables that its probability follows from.

    Scores of reals are counted from one adjustment to the next, also over the end of a phase.

    Args:
        settings: Settings of the run.
    """

    def __init__(self, settings: AugmentationConfig) -> None:
        self._settings = settings
        self._p = tf.constant(first_probability(settings))
        self._steering: tuple[keras.Variable, ...] = ()
        if settings.steered:
            self._steering = tuple(
                keras.Variable(
                    0.0,
                    trainable=False,
                    autocast=False,
                    name=f"augmentation_{name}",
                    aggregation="only_first_replica",
                )
                for name in ("probability", "signs", "images")
            )

    @property
    def steered(self) -> bool:
        """Return whether the probability follows the discriminator."""
        return bool(self._steering)

    @property
    def variables(self) -> Sequence[keras.Variable]:
        """Variables that a checkpoint holds, none if nothing is steered."""
        return self._steering

    @property
    def probability(self) -> Any:
        """Probability `()` of each transform."""
        return self._steering[0].value if self.steered else self._p

    def draws(self, key: Any, shape: Sequence[int]) -> Draws:
        """Random numbers for images of that shape, a function of the key."""
        return draws(key, shape, self._settings)

    def seen(self, images: Any, draws: Draws) -> Any:
        """Images as the discriminator sees them."""
        return augment(images, draws, self.probability, self._settings)

    def count(self, mean_sign: Any, images: int) -> None:
        """Take note of the scores of reals, across replicas.

        Args:
            mean_sign: Mean sign of the scores of a whole batch, as `controller.mean_sign` has it.
            images: Images in the batch.
        """
        _, signs, counted = self._steering
        signs.assign(signs.value + mean_sign * images)
        counted.assign(counted.value + images)

    def adjust(self, step: Any) -> None:
        """Set the probability anew after every so many steps, across replicas.

        Args:
            step: Number of the step that ends, from 0 on.
        """
        p, signs, counted = self._steering
        due = tf.equal((step + 1) % self._settings.adjust_every, 0)
        moved = adjusted(p.value, signs.value / counted.value, counted.value, self._settings)
        kept = tf.where(due, 0.0, 1.0)
        p.assign(tf.where(due, moved, p.value))
        for variable in (signs, counted):
            variable.assign(variable.value * kept)
