"""Shapes that networks can make, and what their first feature maps are."""

from __future__ import annotations

import itertools

import pytest

from pipeline.shape import is_usable, shape_name, shape_text, start_shape


@pytest.mark.parametrize(
    ("shape", "start"),
    [
        ((4, 4), (4, 4)),
        ((1024, 1024), (4, 4)),
        ((28, 28), (7, 7)),
        ((48, 48), (6, 6)),
        ((112, 112), (7, 7)),
        ((48, 64), (6, 8)),
        ((36, 64), (9, 16)),
        ((256, 64), (16, 4)),
        ((15, 60), (15, 60)),
    ],
)
def test_networks_double_their_first_maps(shape: tuple[int, int], start: tuple[int, int]) -> None:
    assert is_usable(shape)
    assert start_shape(shape) == start


@pytest.mark.parametrize(
    "shape", [(2, 2), (3, 4), (2048, 2048), (17, 17), (46, 46), (100, 100), (16, 80), (64, 63)]
)
def test_other_shapes_are_not_usable(shape: tuple[int, int]) -> None:
    assert not is_usable(shape)


def test_the_rule_is_what_is_checked() -> None:
    """Multiples of one power of two: 4 to 15 of it, and at most 4 times as many."""
    by_rule = {
        (height << n, width << n)
        for n in range(9)
        for height, width in itertools.product(range(4, 61), repeat=2)
        if min(height, width) <= 15 and max(height, width) <= 4 * min(height, width)
    }
    checked = {shape for shape in itertools.product(range(1, 129), repeat=2) if is_usable(shape)}
    assert checked == {shape for shape in by_rule if max(shape) <= 128}


def test_squares_are_known_by_their_side() -> None:
    assert (shape_name((64, 64)), shape_text((64, 64))) == ("64x64", "64")
    assert (shape_name((48, 64)), shape_text((48, 64))) == ("48x64", "48x64")
