"""Objectives of every kind, and steps of a tiny run on random images."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import tensorflow as tf

from pipeline.config import Config, LossName
from pipeline.training.synthesis.step import SynthesisStep
from tests.pipeline.training.reuse import REUSE

models_and_step = REUSE.models_and_step
Objective = dict[str, Any]

PLAIN: Objective = {"loss": "logistic", "penalty": "none", "drift": 0.0}
LAZY: Objective = {
    **PLAIN,
    "r1": 1.0,
    "r2": 1.0,
    "penalty_every": 3,
    "path_length": 2.0,
    "path_length_every": 2,
    "critic_steps": 2,
    "generator_steps": 2,
}
EVERYTHING_AT_ONCE: Objective = {
    "loss": "relativistic_hinge",
    "penalty": "one_sided",
    "r1": 0.1,
    "consistency": 1.0,
    "path_length": 0.1,
    "path_length_every": 1,
    "orthogonal_generator": 1e-4,
    "orthogonal_discriminator": 1e-4,
}
CASES: dict[str, tuple[Objective, dict[str, Any]]] = {
    **{name: ({"loss": name, "penalty": "two_sided"}, {}) for name in get_args(LossName)},
    "one_sided": ({"penalty": "one_sided"}, {}),
    "zero_centred": ({"penalty": "zero_centred", "penalty_size": "final"}, {}),
    "weight_clip": ({"penalty": "none", "weight_clip": 0.5}, {}),
    "clip_norm": ({}, {"clip_norm": 0.01}),
    "lazy": (LAZY, {"clip_norm": 0.1, "discriminator_rate_factor": 4.0}),
    "everything": (EVERYTHING_AT_ONCE, {"clip_norm": 0.5}),
}


def batches(config: Config, size: int, count: int = 1) -> list[dict[str, Any]]:
    batch = config.schedule.batch_size
    random = np.random.default_rng(0)
    return [
        {
            "images": tf.constant(random.integers(0, 256, (batch, size, size, 1), np.uint8)),
            "labels": tf.one_hot(tf.range(batch) % 10, 10 if config.data.labels else 0),
        }
        for _ in range(count)
    ]


def after_steps(step: SynthesisStep, config: Config, count: int) -> dict[str, float]:
    """The metrics after so many steps of a fade to 8 px, half way."""
    repeats = config.objective.critic_steps
    for number in range(count):
        metrics = step(
            batches(config, 8, repeats), number * config.schedule.batch_size * repeats, 0.5
        )
    return {name: float(value) for name, value in metrics.items()}
