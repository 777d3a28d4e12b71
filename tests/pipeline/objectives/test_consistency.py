"""Moved copies of images, and how differently they are scored."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline.objectives.consistency import inconsistency, shift_and_mirror, shift_images


def images(height: int, width: int, count: int = 6) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, height, width, 2)).astype(np.float32)


def moved_by_hand(image: np.ndarray, down: int, right: int, most: int) -> np.ndarray:
    padded = np.pad(image, ((most, most), (most, most), (0, 0)), mode="reflect")
    height, width = image.shape[:2]
    return padded[most - down :, most - right :][:height, :width]


def test_images_are_shifted_with_their_edges_reflected() -> None:
    batch = images(8, 8)
    down, right = [0, 1, -2, 3, -3, 2], [0, -1, 2, 3, 1, -3]
    found = shift_images(tf.constant(batch), tf.constant(down), tf.constant(right)).numpy()
    for image, one, dy, dx in zip(batch, found, down, right, strict=True):
        np.testing.assert_array_equal(one, moved_by_hand(image, dy, dx, 3))


@pytest.mark.parametrize(
    ("shape", "most"), [((4, 4), (1, 1)), ((8, 8), (1, 1)), ((16, 16), (2, 2)), ((8, 16), (1, 2))]
)
@pytest.mark.parametrize("mirror", [False, True])
def test_moves_are_within_an_eighth(
    shape: tuple[int, int], most: tuple[int, int], mirror: bool
) -> None:
    batch = images(*shape, 64)
    moves = tf.random.stateless_uniform((64, 3), [1, 2])
    found = shift_and_mirror(tf.constant(batch), moves, mirror=mirror).numpy()
    shifts, mirrored = set(), 0
    for image, one in zip(batch, found, strict=True):
        fitting = [
            (down, right, flip)
            for down in range(-most[0], most[0] + 1)
            for right in range(-most[1], most[1] + 1)
            for flip in (False, True)
            if (one[:, :: -1 if flip else 1] == moved_by_hand(image, down, right, max(most))).all()
        ]
        [(down, right, flip)] = fitting
        shifts.add((down, right))
        mirrored += flip
    assert len(shifts) > (2 * most[0] + 1) * (2 * most[1] + 1) / 2
    assert 16 < mirrored < 48 if mirror else mirrored == 0


def test_inconsistency_is_the_squared_difference() -> None:
    scores, other = tf.constant([[1.0], [2.0]]), tf.constant([[4.0], [1.0]])
    with tf.GradientTape() as tape:
        tape.watch([scores, other])
        value = inconsistency(scores, other)
    np.testing.assert_allclose(value, [[9.0], [1.0]])
    gradients = tape.gradient(value, [scores, other])
    np.testing.assert_allclose(gradients[0], [[-6.0], [2.0]])
    np.testing.assert_allclose(gradients[1], [[6.0], [-2.0]])
