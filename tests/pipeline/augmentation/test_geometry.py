"""Where pixels go, against NumPy's own turns and against a composition of 3×3 matrices."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline.augmentation.geometry import inverse_maps, mirror_and_rotate, shift_by_pixels
from pipeline.config import Transform
from tests.pipeline.augmentation.alone import (
    Array,
    alone,
    augmented,
    chances_of,
    draws_of,
    normals,
    numbers_of,
)
from tests.pipeline.augmentation.test_resampling import resampled_by_hand

SIZE, BATCH, P = 16, 12, 0.6


@pytest.mark.parametrize("mirrored", [0, 1])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_turns_are_those_of_numpy(mirrored: int, quarters: int) -> None:
    images = normals(2, 5, 5, 3)
    found = mirror_and_rotate(
        tf.constant(images), tf.fill((2, 1), mirrored), tf.fill((2, 1), quarters)
    )
    for image, one in zip(images, found.numpy(), strict=True):
        expected = np.rot90(image[:, ::-1] if mirrored else image, quarters)
        np.testing.assert_array_equal(one, expected)


def test_rectangles_make_half_turns() -> None:
    images = normals(64, 6, 10, 1)
    found = augmented(images, 1.0, "rotate90")
    uniforms, _, _ = numbers_of(draws_of(alone("rotate90"), images), "rotate90")
    half = np.floor(2 * uniforms[:, 0])
    assert set(half) == {0, 1}
    for image, one, turn in zip(images, found, half, strict=True):
        np.testing.assert_array_equal(one, np.rot90(image, 2) if turn else image)


@pytest.mark.parametrize("shape", [(6, 6), (6, 9)])
def test_moves_are_exact_and_reflect_the_edges(shape: tuple[int, int]) -> None:
    images = normals(4, *shape, 2)
    pixels = np.array([[0, 0], [1, -2], [-5, 5], [3, 0]])
    found = shift_by_pixels(tf.constant(images), tf.constant(pixels, tf.float32)).numpy()
    for image, one, (right, down) in zip(images, found, pixels, strict=True):
        padded = np.pad(image, ((5, 5), (5, 5), (0, 0)), mode="reflect")
        cut = padded[5 - down :, 5 - right :][: shape[0], : shape[1]]
        np.testing.assert_array_equal(one, cut)


def test_blits_are_drawn_as_published() -> None:
    images = normals(64, SIZE, SIZE, 1)
    found = augmented(images, P, "xflip", "rotate90", "xint")
    draws = draws_of(alone("xflip"), images)
    uniforms = {name: numbers_of(draws, name) for name in ("xflip", "rotate90", "xint")}
    applied = {name: gates[:, 0] < P for name, (_, _, gates) in uniforms.items()}
    flips = np.where(applied["xflip"], np.floor(2 * uniforms["xflip"][0][:, 0]), 0)
    turns = np.where(applied["rotate90"], np.floor(4 * uniforms["rotate90"][0][:, 0]), 0)
    shifts = np.round((2 * uniforms["xint"][0] - 1) * 0.125 * SIZE)
    shifts = np.where(applied["xint"][:, None], shifts, 0).astype(int)
    assert set(flips) == {0, 1}
    assert set(turns) == {0, 1, 2, 3}
    assert set(shifts.ravel()) == {-2, -1, 0, 1, 2}
    for image, one, flip, turn, (right, down) in zip(
        images, found, flips, turns, shifts, strict=True
    ):
        image = np.rot90(image[:, ::-1] if flip else image, int(turn))
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
        np.testing.assert_array_equal(one, padded[2 - down :, 2 - right :][:SIZE, :SIZE])


def inverse_by_hand(
    number: int, draws: dict[str, tuple[Array, Array, Array]], shape: tuple[int, int]
) -> Array:
    """The inverse of the published transform of one image, as a product of 3×3 matrices."""

    def turn(angle: float) -> Array:
        c, s = np.cos(angle), np.sin(angle)
        return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])

    def move(right: float, down: float) -> Array:
        return np.array([[1, 0, right], [0, 1, down], [0, 0, 1]])

    sides = np.array([shape[1], shape[0]])  # To the right, and down.
    inverse = np.eye(3)
    for name, p in (
        ("xint", P),
        ("scale", P),
        ("rotate", 1 - np.sqrt(1 - P)),
        ("aniso", P),
        ("rotate", 1 - np.sqrt(1 - P)),
        ("xfrac", P),
    ):
        if name not in draws:
            continue
        uniforms, deviates, gates = (numbers[number] for numbers in draws[name])
        second = int(name == "rotate" and "rotated" in draws)
        if name == "rotate":
            draws = {**draws, "rotated": draws["rotate"]}
        if gates[second] >= p:
            continue
        match name:
            case "xint":
                inverse = inverse @ move(*-np.round((2 * uniforms - 1) * 0.125 * sides))
            case "scale":
                inverse = inverse @ np.diag([2 ** -(0.2 * deviates[0])] * 2 + [1])
            case "rotate":
                inverse = inverse @ turn(np.pi * (2 * uniforms[second] - 1))
            case "aniso":
                factor = 2 ** (0.2 * deviates[0])
                inverse = inverse @ np.diag([1 / factor, factor, 1])
            case "xfrac":
                inverse = inverse @ move(*(-0.125 * sides * deviates))
    return inverse


TRANSFORMS: tuple[tuple[Transform, ...], ...] = (
    ("scale",),
    ("rotate",),
    ("aniso",),
    ("xfrac",),
    ("xint", "scale", "rotate", "aniso", "xfrac"),
)


@pytest.mark.parametrize("shape", [(SIZE, SIZE), (12, 20)])
@pytest.mark.parametrize("transforms", TRANSFORMS, ids="-".join)
def test_maps_and_images_are_those_of_the_published_matrices(
    transforms: tuple[Transform, ...], shape: tuple[int, int]
) -> None:
    images = normals(BATCH, *shape, 1)
    draws = draws_of(alone(*transforms), images)
    numbers = {name: numbers_of(draws, name) for name in transforms}
    inverses = np.stack([inverse_by_hand(number, numbers, shape) for number in range(BATCH)])
    linear, offset = inverse_maps(chances_of(draws, P, *transforms), shape)
    np.testing.assert_allclose(linear, inverses[:, :2, :2], atol=1e-6)
    np.testing.assert_allclose(offset, inverses[:, :2, 2], atol=1e-5)
    assert (inverses != np.eye(3)).any((1, 2)).sum() > 2

    found = augmented(images, P, *transforms)
    for image, one, inverse in list(zip(images, found, inverses, strict=True))[:4]:
        expected = resampled_by_hand(image, inverse[:2, :2], inverse[:2, 2])
        np.testing.assert_allclose(one, expected, atol=5e-5)


def test_moves_that_cancel_lose_nothing_of_the_picture() -> None:
    # Of the whole pipeline an image is sampled once: one that is moved out comes back whole.
    images = normals(2, SIZE, SIZE, 1)
    draws = draws_of(alone("xint", "xfrac"), images)
    uniforms, deviates, gates = (
        np.array(each) for each in (draws.uniforms, draws.normals, draws.gates)
    )
    gates[:] = 0
    uniforms[:, 2:4] = [0.25, 0.75]  # xint: one pixel to the left, one down
    deviates[:, 2:4] = np.array([1, -1]) / (0.125 * SIZE)  # xfrac: one to the right, one up
    changed = draws._replace(
        uniforms=tf.constant(uniforms), normals=tf.constant(deviates), gates=tf.constant(gates)
    )
    linear, offset = inverse_maps(chances_of(changed, 1.0, "xint", "xfrac"), (SIZE, SIZE))
    np.testing.assert_array_equal(linear[0], np.eye(2))
    np.testing.assert_allclose(offset, 0, atol=1e-6)
