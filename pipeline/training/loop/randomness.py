"""Seeds of stateless random draws, from the run's seed, a purpose and the images seen.

No generator has a state to save, so a run resumes with the same random numbers.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import tensorflow as tf


class Purpose(IntEnum):
    """Purpose of a random draw; two purposes never share random numbers."""

    # Never change these values: every run would draw other numbers.
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


PARTS = 2**32  # Offset added to `part` in a key: above any `repeat`, so that the two never collide.


def key(
    seed: int,
    purpose: Purpose,
    images_seen: Any,
    *,
    repeat: int = 0,
    part: int = 0,
    roll_backs: int = 0,
) -> Any:
    """Compute the seed, int32 `(2,)`, of one stateless draw for a global batch.

    Args:
        seed: Seed of the run.
        purpose: Purpose of the draw.
        images_seen: Images seen before the batch.
        repeat: Index of the update, if several updates at these `images_seen` share the purpose.
        part: Index of the draw, if one update needs several for this purpose.
        roll_backs: Number of roll backs so far; each changes all draws.
    """
    fold = tf.random.experimental.stateless_fold_in
    pair = tf.constant([seed, int(purpose)], tf.int32)
    # Keep the zero, once the index of the replica: without it, earlier runs draw other numbers.
    pair = fold(fold(pair, images_seen), tf.constant(0, tf.int64))
    # Do not fold in zeros: runs from before these arguments keep their draws.
    if roll_backs:  # As a negative number, which no repeat is.
        pair = fold(pair, tf.constant(-roll_backs, tf.int64))
    if repeat:
        pair = fold(pair, tf.constant(repeat, tf.int64))
    return fold(pair, tf.constant(PARTS + part, tf.int64)) if part else pair
