"""The overlap of filters against NumPy, value and gradient."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline.objectives.orthogonal import overlap, total_overlap


@pytest.mark.parametrize("shape", [(3, 3, 4, 5), (3, 3, 1, 20), (7, 3), (3, 7), (4, 4)])
def test_overlap_and_its_gradient(shape: tuple[int, ...]) -> None:
    kernel = np.random.default_rng(0).normal(size=shape)
    ours = tf.constant(kernel, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(ours)
        value = overlap(ours)
    columns = kernel.reshape(-1, shape[-1])
    between = columns.T @ columns * (1 - np.eye(shape[-1]))
    np.testing.assert_allclose(value, (between**2).sum(), rtol=1e-4)
    np.testing.assert_allclose(
        tape.gradient(value, ours), (4 * columns @ between).reshape(shape), rtol=1e-3, atol=1e-3
    )


def test_orthogonal_filters_of_any_length_do_not_overlap() -> None:
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(9, 4)))[0]
    kernel = tf.constant(directions * [1.0, 2.0, 3.0, 4.0], tf.float32)
    np.testing.assert_allclose(overlap(kernel), 0.0, atol=1e-8)


def test_a_network_s_overlap_is_the_sum_over_its_kernels() -> None:
    kernels = [tf.constant(np.full((2, 2), value), tf.float32) for value in (1.0, 2.0)]
    np.testing.assert_allclose(total_overlap(kernels), 8.0 + 128.0)
