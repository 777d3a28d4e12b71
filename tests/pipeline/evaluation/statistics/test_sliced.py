"""SWD is that of a plain loop over directions, and a function of images, seed and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import convolve
from scipy.stats import wasserstein_distance

from pipeline.errors import UserError
from pipeline.evaluation.statistics.sliced import (
    DIRECTIONS,
    draw_descriptors,
    laplacian_pyramid,
    sliced_wasserstein,
)


def images(count: int, side: int = 32, channels: int = 3, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (count, side, side, channels), dtype=np.uint8)


def pyramid_of_one(plane: np.ndarray) -> list[np.ndarray]:
    """Return the pyramid of one channel, with the 5 × 5 kernel in one piece."""
    line = np.array([1, 4, 6, 4, 1])
    kernel = np.outer(line, line) / 256
    levels = []
    while len(plane) > 16:
        half = convolve(plane, kernel, mode="mirror")[::2, ::2]
        spread = np.zeros_like(plane)
        spread[::2, ::2] = half
        levels.append(plane - convolve(spread, 4 * kernel, mode="mirror"))
        plane = half
    return [*levels, plane]


@pytest.mark.parametrize(("side", "levels"), [(64, [64, 32, 16]), (16, [16]), (8, [8]), (4, [4])])
def test_levels_are_those_of_one_plane_after_another(side: int, levels: list[int]) -> None:
    sample = images(2, side).astype(np.float64)
    found = laplacian_pyramid(sample)
    assert [level.shape[1] for level in found] == levels
    for image in range(2):
        for channel in range(3):
            expected = pyramid_of_one(sample[image, :, :, channel])
            for level, plane in zip(found, expected, strict=True):
                np.testing.assert_allclose(level[image, :, :, channel], plane, atol=1e-10)


def test_descriptors_are_patches_of_their_level() -> None:
    sample = images(3)
    found = draw_descriptors([sample], seed=0, patches=20)
    assert {side: level.shape for side, level in found.items()} == {
        32: (60, 3, 49),
        16: (60, 3, 49),
    }
    for side, level in zip(found, laplacian_pyramid(sample.astype(np.float64)), strict=True):
        inside = side - 7 + 1
        for image in range(3):
            whole = {
                tuple(np.moveaxis(level[image, y : y + 7, x : x + 7], -1, 0).ravel().round(2))
                for y in range(inside)
                for x in range(inside)
            }
            mine = found[side][20 * image : 20 * (image + 1)].reshape(20, -1)
            assert {tuple(patch.astype(np.float64).round(2)) for patch in mine} <= whole
            assert len({patch.tobytes() for patch in mine}) > 5


def test_small_images_are_one_level_and_the_smallest_one_patch() -> None:
    assert {
        side: level.shape for side, level in draw_descriptors([images(5, 8)], seed=0).items()
    } == {8: (640, 3, 49)}
    of_four = draw_descriptors([images(5, 4)], seed=0)
    assert {side: level.shape for side, level in of_four.items()} == {4: (5, 3, 16)}
    np.testing.assert_array_equal(
        of_four[4], np.moveaxis(images(5, 4), -1, 1).reshape(5, 3, 16).astype(np.float32)
    )


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 6), unique=True, max_size=3))
def test_descriptors_do_not_depend_on_the_batches(cuts: list[int]) -> None:
    sample = images(7, 32, 1)
    expected = draw_descriptors([sample], seed=4, patches=5)
    found = draw_descriptors(np.split(sample, sorted(cuts)), seed=4, patches=5)
    for side in (32, 16):
        np.testing.assert_array_equal(found[side], expected[side])
    assert not np.array_equal(draw_descriptors([sample], seed=5, patches=5)[16], expected[16])


@pytest.mark.parametrize("channels", [1, 3])
def test_distance_is_that_of_a_plain_loop_over_directions(channels: int) -> None:
    fakes = draw_descriptors([images(4, 16, channels) // 2], seed=0, patches=8)
    reals = draw_descriptors([images(4, 16, channels, seed=1)], seed=1, patches=8)

    def normalised(patches: np.ndarray) -> np.ndarray:
        result = patches.astype(np.float64)
        for channel in range(channels):
            result[:, channel] -= result[:, channel].mean()
            result[:, channel] /= result[:, channel].std()
        return result.reshape(len(result), -1)

    a, b = normalised(fakes[16]), normalised(reals[16])
    drawn = np.random.default_rng((7, 16, 1)).normal(size=(DIRECTIONS, channels, 49))
    total = 0.0
    for direction in drawn.reshape(DIRECTIONS, -1):
        unit = direction / np.linalg.norm(direction)
        total += wasserstein_distance(a @ unit, b @ unit)
    found = sliced_wasserstein(fakes, reals, seed=7)
    assert found == pytest.approx({16: 1000 * total / DIRECTIONS}, rel=1e-10)


def test_equal_images_are_no_way_apart_and_contrast_does_not_count() -> None:
    one = draw_descriptors([images(6) // 4], seed=0)
    assert sliced_wasserstein(one, one, seed=0) == {32: 0, 16: 0}
    brighter = draw_descriptors([images(6) // 4 * 2 + 50], seed=0)
    assert max(sliced_wasserstein(one, brighter, seed=0).values()) < 0.01


def test_a_coarse_change_is_seen_at_the_coarse_level_alone() -> None:
    sample = images(20).astype(np.float64)
    coarse = np.random.default_rng(3).normal(0, 60, (20, 2, 2, 3)).repeat(16, 1).repeat(16, 2)
    reals = draw_descriptors([images(20, seed=1).astype(np.float64)], seed=1)
    plain = sliced_wasserstein(draw_descriptors([sample], seed=0), reals, seed=0)
    changed = sliced_wasserstein(draw_descriptors([sample + coarse], seed=0), reals, seed=0)
    assert changed[16] > 3 * plain[16]
    assert changed[32] < 2 * plain[32]


def test_images_without_contrast_have_a_distance() -> None:
    still = draw_descriptors([np.full((3, 16, 16, 1), 9, np.uint8)], seed=0)
    assert sliced_wasserstein(still, still, seed=0) == {16: 0}
    assert sliced_wasserstein(still, draw_descriptors([images(3, 16, 1)], seed=0), seed=0)[16] > 100


def test_rectangles_are_measured_level_by_level_down_to_the_last_whole_one() -> None:
    random = np.random.default_rng(0)
    batch = random.integers(0, 256, (3, 36, 60, 1), np.uint8)
    found = draw_descriptors([batch], seed=0, patches=200)
    assert {side: level.shape for side, level in found.items()} == {
        side: (600, 1, 49) for side in (36, 18, 9)
    }
    # Patches of the last level are those of the image itself, twice blurred and halved.
    coarse = laplacian_pyramid(batch.astype(np.float64))[-1]
    assert coarse.shape == (3, 9, 15, 1)
    windows = np.lib.stride_tricks.sliding_window_view(coarse[0], (7, 7), axis=(0, 1))
    places = {tuple(np.float32(w).ravel()) for w in windows.reshape(-1, 49)}
    drawn = {tuple(patch.ravel()) for patch in found[9][:200]}
    assert drawn == places
    assert set(sliced_wasserstein(found, found, seed=0).values()) == {0.0}


def test_what_is_refused() -> None:
    with pytest.raises(UserError, match=r"`batches` must hold images\. Received: none"):
        draw_descriptors([], seed=0)
    with pytest.raises(UserError, match=r"sides at least 4\. Received: shape=\(2, 3, 3"):
        draw_descriptors([images(2, 3)], seed=0)
    with pytest.raises(UserError, match=r"one size\. Received: \(32, 32, 3\) and then \(16, 16, 3"):
        draw_descriptors([images(2), images(2, 16)], seed=0)
    with pytest.raises(UserError, match="SWD needs the same number of images"):
        sliced_wasserstein(
            draw_descriptors([images(2)], seed=0), draw_descriptors([images(3)], seed=0), seed=0
        )
