import math

import pytest

from pipeline.data.checking.report import Colours, Sizes, Spread, Suggestions, Symmetry
from pipeline.data.checking.suggestions import percent, suggestions


def suggested(
    sides: dict[int, int] | None = None,
    longest: int | None = None,
    grey: float = 0.0,
    dark: float = 0.0,
    nearer: float = 0.5,
    compared: int = 2048,
    classes: dict[str, int] | None = None,
    unlabelled: int = 0,
) -> Suggestions:
    """Suggestions for pictures of so many of each shortest side."""
    sides = {64: 9000} if sides is None else sides
    count = sum(sides.values())
    powers: dict[int, int] = {}
    for side, number in sides.items():
        power = 2 ** int(math.log2(side))
        powers[power] = powers.get(power, 0) + number
    shortest = Spread(least=min(sides), median=min(sides), most=max(sides))
    most = longest or max(sides)
    whole = Spread(least=min(sides), median=most, most=most)
    one = Spread(least=1, median=1, most=1)
    sizes = Sizes(
        width=whole, height=shortest, shortest_side=shortest, longest_side=whole,
        aspect_ratio=one, shortest_sides=powers,
    )  # fmt: skip
    level = (9.0, 9.0, 9.0)
    colours = Colours(mean=level, std=level, grey_share=grey, dark_border_share=dark)
    symmetry = Symmetry(nearer_share=nearer, compared=compared)
    return suggestions(count, sizes, colours, symmetry, classes or {}, unlabelled)


@pytest.mark.parametrize(
    ("sides", "resolution"),
    [
        ({64: 9000}, 64),
        ({63: 9000}, 32),
        ({128: 950, 40: 50}, 128),
        ({128: 949, 40: 51}, 32),
        ({5000: 10}, 1024),
        ({3: 10}, 4),
    ],
)
def test_the_resolution_is_one_that_nearly_all_reach(sides, resolution) -> None:
    found = suggested(sides)
    assert found.resolution.value == resolution
    assert found.crop.value == "center"


def test_the_reason_for_a_resolution_names_the_shares() -> None:
    reason = suggested({128: 950, 300: 50}).resolution.reason
    assert reason == "100 % have sides of at least 128, 5 % of 256"


@pytest.mark.parametrize(
    ("sides", "longest", "dark", "resolution", "crop"),
    [
        ({28: 9}, 28, 1, 32, "pad"),
        ({28: 9}, 28, 0.5, 16, "center"),
        ({24: 9}, 32, 1, 32, "pad"),
        ({23: 9}, 32, 1, 16, "center"),
        ({28: 9}, 33, 1, 16, "center"),
        ({32: 9}, 32, 1, 32, "center"),
        ({1000: 9}, 1000, 1, 1024, "pad"),
        ({1600: 9}, 1600, 1, 1024, "center"),
    ],
)
def test_pictures_on_black_are_padded(sides, longest, dark, resolution, crop) -> None:
    found = suggested(sides, longest, dark=dark)
    assert (found.resolution.value, found.crop.value) == (resolution, crop)


def test_what_a_crop_leaves_is_said() -> None:
    assert "66.7 %" in suggested({64: 9}, longest=96).crop.reason
    assert "square" in suggested({64: 9}, longest=66).crop.reason


@pytest.mark.parametrize(("share", "channels"), [(1, 1), (0.95, 1), (0.94, 3), (0, 3)])
def test_channels_follow_the_share_of_grey(share: float, channels: int) -> None:
    assert suggested(grey=share).channels.value == channels


@pytest.mark.parametrize(
    ("share", "compared", "mirror"),
    [
        (0.5, 2048, True),
        (0.63, 2048, True),
        (0.64, 2048, False),
        (0.96, 2048, False),
        (0.64, 100, True),  # may be chance
        (0.96, 100, False),
        (0, 0, False),
    ],
)
def test_mirroring_needs_pictures_that_do_not_lean(share, compared, mirror) -> None:
    assert suggested(nearer=share, compared=compared).mirror.value is mirror


@pytest.mark.parametrize(
    ("classes", "unlabelled", "usable", "reason"),
    [
        ({}, 9000, False, "no classes"),
        ({"a": 9000}, 0, False, "single class"),
        ({"a": 5000, "b": 3999}, 1, False, "1 have no class"),
        ({"a": 8901, "b": 99}, 0, False, "99 (b) to 8901 (a)"),
        ({"a": 8900, "b": 100}, 0, True, "100 (b) to 8900 (a)"),
        ({"a": 4500, "b": 4500}, 0, True, "4500 pictures each"),
    ],
)
def test_labels_need_whole_classes(classes, unlabelled, usable, reason) -> None:
    found = suggested(classes=classes, unlabelled=unlabelled).labels
    assert found.value is usable
    assert reason in found.reason


@pytest.mark.parametrize(("count", "enough"), [(999, False), (4999, False), (5000, True)])
def test_whether_there_are_enough(count: int, enough: bool) -> None:
    found = suggested({64: count}).enough
    assert found.value is enough
    assert str(count) in found.reason


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (1e-5, "under 0.1 %"),
        (0.99999, "over 99.9 %"),
        (0.123456, "12.3 %"),
        (0.0123, "1.23 %"),
    ],
)
def test_a_share_for_people(share: float, text: str) -> None:
    assert percent(share) == text
