"""Randomness as a function of (seed, purpose, images seen, sample), with no state to save."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import tensorflow as tf


class Purpose(IntEnum):
    """Purpose of a draw: two purposes never share numbers.

    The values are part of a run's identity and must not change.
    """

    CRITIC_LATENTS = 1
    GENERATOR_LATENTS = 2
    PENALTY_MIX = 3
    CONSISTENCY = 4
    LAZY_FAKES = 5
    LAZY_MIX = 6
    PATH_LATENTS = 7
    PATH_NOISE = 8
    CRITIC_REALS_SEEN = 9
    CRITIC_FAKES_SEEN = 10
    LAZY_REALS_SEEN = 11
    LAZY_FAKES_SEEN = 12
    GENERATOR_REALS_SEEN = 13
    GENERATOR_FAKES_SEEN = 14


PARTS = 2**32
"""From here on numbers stand for parts: no run repeats an update so often."""


def key(
    seed: int,
    purpose: Purpose,
    images_seen: Any,
    *,
    repeat: int = 0,
    part: int = 0,
    roll_backs: int = 0,
) -> Any:
    """The seed pair, int32 `(2,)`, of one draw for the whole batch of one step.

    The draw does not depend on the number of replicas: each draws for the global batch and takes
    its share, `pipeline.training.replicas.share_of`.

    Args:
        seed: Seed of the run.
        purpose: Purpose of the draw.
        images_seen: The clock.
        repeat: Which of several such draws at that clock. The first keeps the key that it has
            alone.
        part: Which of several things are drawn for it. The first keeps the key likewise.
        roll_backs: Number of roll backs so far: each leads to other draws.
    """
    fold = tf.random.experimental.stateless_fold_in
    pair = tf.constant([seed, int(purpose)], tf.int32)
    # The zero was the number of the replica; without it runs would draw other numbers than before.
    pair = fold(fold(pair, images_seen), tf.constant(0, tf.int64))
    if roll_backs:  # Negative, which no repeat is.
        pair = fold(pair, tf.constant(-roll_backs, tf.int64))
    if repeat:
        pair = fold(pair, tf.constant(repeat, tf.int64))
    return fold(pair, tf.constant(PARTS + part, tf.int64)) if part else pair
