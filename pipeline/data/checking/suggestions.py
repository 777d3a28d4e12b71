"""Suggest settings to train on a source, for `growgan data check`, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.data.checking.report import Advice, Colours, Sizes, Suggestions, Symmetry
from pipeline.shape import LARGEST_SIDE, SMALLEST_SIDE, level_shapes

NEARLY_ALL = 0.95  # Minimum share of the pictures that a suggestion must suit.
MAX_PADDING = 0.25
"""Maximum share of a side that may be black padding; with more, pictures are cropped instead."""
MENTIONED_CROP = 0.9  # Share of the area that a crop keeps, below which the reason mentions it.
CHANCE = 0.5  # Share of pictures nearer than their mirror images if mirroring changes nothing.
ONE_SIDED = 0.6
"""Share of pictures nearer than their mirror images above which mirroring does harm.
Photographs of flowers and CIFAR-10 measure 0.50 to 0.52, emoji 0.57, satellite tiles 0.57 to 0.59,
the built-in glyphs 0.75 to 0.80, things always lit from one side 0.83, handwritten digits 0.97."""
STANDARD_ERRORS = 3
"""Number of standard errors above `ONE_SIDED` from which the share counts as one-sided."""
MIN_PER_CLASS = 100  # Minimum number of pictures from which networks can learn a class.
FEW = 1_000
ENOUGH = 5_000
"""With fewer than `FEW` pictures a discriminator overfits soon; with `ENOUGH` it takes long.

Source: Karras et al., arXiv 2006.06676, section 2: the fewer pictures, the sooner it overfits."""


def suggestions(
    readable: int,
    sizes: Sizes,
    colours: Colours,
    symmetry: Symmetry,
    classes: Mapping[str, int],
    unlabelled: int,
) -> Suggestions:
    """Suggest settings for measured pictures; `classes` has the number of pictures by class."""
    resolution, crop = _suggest_resolution_and_crop(readable, sizes, colours)
    return Suggestions(
        resolution=resolution,
        crop=crop,
        channels=_suggest_channels(colours),
        mirror=_suggest_mirror(symmetry),
        labels=_suggest_labels(classes, unlabelled),
        enough=_judge_count(readable),
    )


def percent(share: float) -> str:
    """Format a share as a percentage.

    Shares near 0 or 1 are not rounded to 0 % or 100 %, which would hide a few exceptions.
    """
    if 0 < share < 0.001:
        return "under 0.1 %"
    if 0.999 < share < 1:
        return "over 99.9 %"
    return f"{100 * share:.3g} %"


def _suggest_resolution_and_crop(
    readable: int, sizes: Sizes, colours: Colours
) -> tuple[Advice[int], Advice[str]]:
    # Number of pictures whose shortest side reaches each resolution.
    reached = {
        resolution: sum(n for side, n in sizes.shortest_sides.items() if side >= resolution)
        for resolution, _ in level_shapes((SMALLEST_SIDE, SMALLEST_SIDE), LARGEST_SIDE)
    }
    suited = [side for side, n in reached.items() if n >= NEARLY_ALL * readable]
    # Enlarge pictures that are smaller than 4 px, the smallest resolution of networks.
    largest = max(suited, default=SMALLEST_SIDE)
    shortest, longest = int(sizes.shortest_side.least), int(sizes.longest_side.most)
    sides = str(shortest) if shortest == longest else f"{shortest} to {longest}"
    larger = 2 * largest
    if (
        colours.dark_border_share >= NEARLY_ALL
        and longest <= larger <= LARGEST_SIDE
        and larger * (1 - MAX_PADDING) <= shortest < larger
    ):
        return (
            Advice(value=larger, reason=f"sides of {sides} fit into {larger}"),
            Advice(value="pad", reason="borders are black, so more black around them is not seen"),
        )
    return (
        Advice(
            value=largest,
            reason=f"{percent(reached[largest] / max(1, readable))} have sides of at least "
            f"{largest}, {percent(reached.get(larger, 0) / max(1, readable))} of {larger}",
        ),
        Advice(value="center", reason=_crop_reason(sizes)),
    )


def _crop_reason(sizes: Sizes) -> str:
    kept = sizes.shortest_side.median / max(1, sizes.longest_side.median)
    if kept < MENTIONED_CROP:
        return f"the centred square is {percent(kept)} of the median picture"
    return "the median picture is square, or nearly"


def _suggest_channels(colours: Colours) -> Advice[int]:
    if colours.grey_share >= NEARLY_ALL:
        return Advice(value=1, reason=f"{percent(colours.grey_share)} are grey")
    return Advice(value=3, reason=f"{percent(1 - colours.grey_share)} are coloured")


def _suggest_mirror(symmetry: Symmetry) -> Advice[bool]:
    if not symmetry.compared:
        return Advice(value=False, reason="there are too few pictures to compare")
    # Raise the limit for few pictures, whose share varies more by chance.
    limit = ONE_SIDED + STANDARD_ERRORS * 0.5 / symmetry.compared**0.5
    return Advice(
        value=symmetry.nearer_share <= limit,
        reason=f"{percent(symmetry.nearer_share)} of {symmetry.compared} resemble the others more "
        f"than their mirror images do; {percent(CHANCE)} is chance, {percent(limit)} harmless",
    )


def _suggest_labels(classes: Mapping[str, int], unlabelled: int) -> Advice[bool]:
    if not classes:
        return Advice(value=False, reason="the source has no classes")
    if unlabelled:
        return Advice(value=False, reason=f"{unlabelled} have no class")
    if len(classes) == 1:
        return Advice(value=False, reason="there is a single class")
    smallest, largest = min(classes, key=classes.__getitem__), max(classes, key=classes.__getitem__)
    spread = f"{classes[smallest]} ({smallest}) to {classes[largest]} ({largest}) pictures"
    if classes[smallest] == classes[largest]:
        spread = f"{classes[smallest]} pictures each"
    if classes[smallest] < MIN_PER_CLASS:
        return Advice(
            value=False,
            reason=f"a class needs {MIN_PER_CLASS}, and {len(classes)} classes have {spread}",
        )
    return Advice(value=True, reason=f"{len(classes)} classes have {spread}")


def _judge_count(readable: int) -> Advice[bool]:
    if readable < FEW:
        return Advice(value=False, reason=f"a discriminator soon overfits on {readable} pictures")
    if readable < ENOUGH:
        return Advice(
            value=False,
            reason=f"a discriminator overfits on {readable} pictures in the end; with {ENOUGH} "
            "or more that takes long",
        )
    return Advice(value=True, reason=f"a discriminator is slow to overfit on {readable} pictures")
