"""Randomness as a function of (seed, purpose, images seen, replica), with no state to save."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import tensorflow as tf


class Purpose(IntEnum):
    """What a draw is for: two purposes never share numbers.

    The values are part of a run's identity and must not change.
    """

    CRITIC_LATENTS = 1
    GENERATOR_LATENTS = 2
    PENALTY_MIX = 3


def key(seed: int, purpose: Purpose, images_seen: Any, replica: Any) -> Any:
    """The seed pair, int32 `(2,)`, of one draw in one step on one replica."""
    fold = tf.random.experimental.stateless_fold_in
    pair = tf.constant([seed, int(purpose)], tf.int32)
    return fold(fold(pair, images_seen), tf.cast(replica, tf.int64))
