"""Images through the discriminator: in one pass of both kinds, or in two halves."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


def scores_of(outputs: Any) -> Any:
    """The scores `(batch, 1)` among a discriminator's outputs."""
    return outputs[0] if isinstance(outputs, list | tuple) else outputs


def score_apart(
    discriminator: keras.Model, reals: Any, fakes: Any, group_size: int
) -> tuple[Any, Any]:
    """The outputs for reals and for fakes, computed in one pass of both.

    The pass is interleaved so that no group of the minibatch standard deviation, whose members are
    strided through the batch, holds both kinds: the result is that of two passes.
    """
    batch = reals.shape[0]
    if batch < group_size:  # One group each: in one pass they would make up one group of both.
        return discriminator(reals), discriminator(fakes)
    shape = (group_size, batch // group_size)
    images = [tf.reshape(kind, (*shape, *kind.shape[1:])) for kind in (reals, fakes)]
    both = discriminator(tf.reshape(tf.concat(images, axis=1), (2 * batch, *reals.shape[1:])))
    if not isinstance(both, list | tuple):
        return halves(both, group_size)
    first, second = zip(*(halves(output, group_size) for output in both), strict=True)
    return first, second


def halves(samples: Any, group_size: int) -> tuple[Any, ...]:
    """Two halves of a batch, each of whole groups of the minibatch standard deviation.

    A group's members are strided through the batch. An odd number of groups stays in one part.
    """
    batch, *features = samples.shape
    groups, rest = divmod(batch, group_size)
    if rest or groups % 2:
        return (samples,)
    parts = tf.split(tf.reshape(samples, (group_size, groups, *features)), 2, axis=1)
    return tuple(tf.reshape(part, (batch // 2, *features)) for part in parts)
