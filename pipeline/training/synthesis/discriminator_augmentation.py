"""Augmentation of the images that the discriminator sees, with its adaptive probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from pipeline.augmentation.augment import augment, draws
from pipeline.augmentation.controller import adjust_probability, first_probability, mean_sign
from pipeline.augmentation.draws import Draws
from pipeline.config import AugmentationConfig


class Augmentation:
    """Augmentation of a run, with the variables that adapt its probability."""

    def __init__(self, settings: AugmentationConfig) -> None:
        self._settings = settings
        self._p = tf.constant(first_probability(settings))
        self._steering: tuple[keras.Variable, ...] = ()
        if settings.steered:
            # Variables, to be in checkpoints: signs are summed between adjustments, across phases.
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
        """True if the probability adapts to the discriminator."""
        return bool(self._steering)

    @property
    def variables(self) -> Sequence[keras.Variable]:
        """Variables for checkpoints; none if the probability is fixed."""
        return self._steering

    @property
    def probability(self) -> Any:
        """Probability `()` of each transform."""
        return self._steering[0].value if self.steered else self._p

    def draws(self, key: Any, shape: Sequence[int]) -> Draws:
        """Draw random parameters for images of this shape; the same key gives the same ones."""
        return draws(key, shape, self._settings)

    def apply(self, images: Any, draws: Draws) -> Any:
        """Augment images as the discriminator sees them."""
        return augment(images, draws, self.probability, self._settings)

    def metrics(self, scores: Any) -> dict[str, Any]:
        """Return the mean sign of the scores of reals, if the probability adapts; else nothing."""
        return {"real_sign": mean_sign(scores)} if self.steered else {}

    def count(self, real_sign: Any, images: int) -> None:
        """Add the mean sign over a global batch of `images`. Call it across replicas."""
        _, signs, counted = self._steering
        signs.assign(signs.value + real_sign * images)
        counted.assign(counted.value + images)

    def adjust(self, step: Any) -> None:
        """Adapt the probability after step number `step`, from 0 on, if that is due."""
        p, signs, counted = self._steering
        # `step` follows from `images_seen`, no counter: a resumed run adjusts in the same steps.
        due = tf.equal((step + 1) % self._settings.adjust_every, 0)
        moved = adjust_probability(
            p.value, signs.value / counted.value, counted.value, self._settings
        )
        kept = tf.where(due, 0.0, 1.0)
        p.assign(tf.where(due, moved, p.value))
        for variable in (signs, counted):
            variable.assign(variable.value * kept)
