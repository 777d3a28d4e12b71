"""Path lengths of generators whose Jacobian is known by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from layers.pixel_norm import PixelNorm
from pipeline.objectives.path_length import (
    normalise,
    path_length_penalty,
    path_lengths,
    update_mean,
)

SIDE, CHANNELS, LATENTS, BATCH = 4, 2, 5, 3
PIXELS = SIDE * SIDE * CHANNELS


def normals(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def linear(matrix: Any) -> Any:
    return lambda z: tf.reshape(z @ matrix, (-1, SIDE, SIDE, CHANNELS))


def test_lengths_and_the_penaltys_gradient_of_a_linear_generator() -> None:
    matrix, latents = tf.constant(normals(LATENTS, PIXELS)), normals(BATCH, LATENTS, seed=1)
    noise = normals(BATCH, SIDE, SIDE, CHANNELS, seed=2)
    before, decay = 0.3, 0.2
    with tf.GradientTape() as tape:
        tape.watch(matrix)
        lengths = path_lengths(linear(matrix), tf.constant(latents), tf.constant(noise))
        mean = update_mean(tf.constant(before), lengths, decay=decay)
        total = tf.reduce_mean(path_length_penalty(lengths, mean))
    found = tape.gradient(total, matrix)

    y = noise.reshape(BATCH, PIXELS) / SIDE
    steps = y @ matrix.numpy().T  # Jᵀ y of each sample
    by_hand = np.sqrt((steps**2).sum(1))
    np.testing.assert_allclose(lengths, by_hand, rtol=1e-5)
    new_mean = before + decay * (by_hand.mean() - before)
    np.testing.assert_allclose(mean, new_mean, rtol=1e-5)
    # The mean moves before it is compared with, and so has a part in the gradient.
    off = by_hand - new_mean
    np.testing.assert_allclose(total, (off**2).mean(), rtol=1e-4)
    by_length = 2 / BATCH * (off - decay * off.mean())
    expected = np.einsum("i,id,ip->dp", by_length / by_hand, steps, y)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_lengths_of_styles_are_root_means_over_the_layers() -> None:
    matrix, styles = normals(2, LATENTS, PIXELS), normals(BATCH, 2, LATENTS, seed=1)
    noise = normals(BATCH, SIDE, SIDE, CHANNELS, seed=2)

    def generate(w: Any) -> Any:
        return tf.reshape(tf.einsum("bld,ldp->bp", w, matrix), (-1, SIDE, SIDE, CHANNELS))

    steps = np.einsum("bp,ldp->bld", noise.reshape(BATCH, PIXELS) / SIDE, matrix)
    np.testing.assert_allclose(
        path_lengths(generate, tf.constant(styles), tf.constant(noise)),
        np.sqrt((steps**2).sum(2).mean(1)),
        rtol=1e-5,
    )


def test_the_gradient_is_finite_where_the_length_is_zero() -> None:
    matrix = tf.zeros((LATENTS, PIXELS))
    with tf.GradientTape() as tape:
        tape.watch(matrix)
        lengths = path_lengths(
            linear(matrix), tf.zeros((2, LATENTS)), tf.ones((2, SIDE, SIDE, CHANNELS))
        )
    assert np.isfinite(tape.gradient(lengths, matrix)).all()


def test_latents_are_normalised_as_the_generator_does() -> None:
    latents = tf.constant(normals(BATCH, LATENTS))
    np.testing.assert_allclose(normalise(latents), PixelNorm()(latents), rtol=1e-6)
