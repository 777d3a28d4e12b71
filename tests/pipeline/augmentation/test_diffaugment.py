"""DiffAugment, against its formulas on each image."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipeline.augmentation.augment import augment
from pipeline.augmentation.diffaugment import Uniform
from pipeline.config import AugmentationConfig
from tests.pipeline.augmentation.alone import Array, draws_of, normals


def run(images: Array, *policy: str) -> tuple[Array, Array]:
    """Augmented images and the uniform numbers."""
    settings = AugmentationConfig(kind="diffaugment", policy=policy)
    draws = draws_of(settings, images)
    found = augment(tf.constant(images), draws, tf.constant(0.0), settings)
    return found.numpy(), draws.uniforms.numpy()


@pytest.mark.parametrize("channels", [1, 3])
def test_colours(channels: int) -> None:
    images = normals(6, 4, 4, channels)
    found, uniforms = run(images, "color")
    for image, one, u in zip(images, found, uniforms, strict=True):
        expected = image + u[Uniform.BRIGHTNESS] - 0.5
        grey = expected.mean(-1, keepdims=True)
        expected = grey + 2 * u[Uniform.SATURATION] * (expected - grey)
        expected = expected.mean() + (u[Uniform.CONTRAST] + 0.5) * (expected - expected.mean())
        np.testing.assert_allclose(one, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "most"),
    [((4, 4), (0, 0)), ((8, 8), (1, 1)), ((16, 16), (2, 2)), ((32, 32), (4, 4)), ((8, 24), (1, 3))],
)
def test_images_move_by_up_to_an_eighth_with_zeros_behind_them(
    shape: tuple[int, int], most: tuple[int, int]
) -> None:
    images = normals(200, *shape, 1)
    found, uniforms = run(images, "translation")
    moves = set()
    for image, one, u in zip(images, found, uniforms, strict=True):
        down, right = (
            int(u[column] * (2 * limit + 1)) - limit
            for column, limit in zip((Uniform.MOVE_DOWN, Uniform.MOVE_RIGHT), most, strict=True)
        )
        padded = np.pad(image, ((most[0], most[0]), (most[1], most[1]), (0, 0)))
        cut = padded[most[0] - down :, most[1] - right :][: shape[0], : shape[1]]
        np.testing.assert_array_equal(one, cut)
        moves |= {down, right}
    assert moves == set(range(-max(most), max(most) + 1))


@pytest.mark.parametrize("shape", [(4, 4), (8, 8), (10, 10), (6, 8)])
def test_cuts_are_half_of_the_side_and_may_pass_the_edge(shape: tuple[int, int]) -> None:
    images = np.ones((300, *shape, 1), np.float32)
    found, uniforms = run(images, "cutout")
    cuts = [side // 2 for side in shape]
    places = [side + 1 - cut % 2 for side, cut in zip(shape, cuts, strict=True)]
    middles: list[set[int]] = [set(), set()]
    for one, u in zip(found, uniforms, strict=True):
        expected = np.ones((*shape, 1))
        columns = (Uniform.CUT_DOWN, Uniform.CUT_RIGHT)
        found_at = [int(u[c] * count) for c, count in zip(columns, places, strict=True)]
        top, left = (at - cut // 2 for at, cut in zip(found_at, cuts, strict=True))
        expected[max(top, 0) : top + cuts[0], max(left, 0) : left + cuts[1]] = 0
        np.testing.assert_array_equal(one, expected)
        for middle, at in zip(middles, found_at, strict=True):
            middle.add(at)
    assert middles == [set(range(count)) for count in places]


def test_transforms_follow_each_other() -> None:
    images = normals(5, 8, 8, 3)
    whole, _ = run(images, "cutout", "color", "translation")
    coloured, _ = run(images, "color")
    moved, _ = run(coloured, "translation")
    cut, _ = run(moved, "cutout")
    np.testing.assert_allclose(whole, cut, atol=1e-6)
