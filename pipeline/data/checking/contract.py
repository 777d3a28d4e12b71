"""Data contract: rules derived from one set of pictures that later sets must keep."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.data.checking.report import Channels, Survey
from pipeline.data.checking.shift import shift
from pipeline.errors.shown import shown

Count = Annotated[int, Field(ge=0)]
Bound = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]

Outermost = Sequence[tuple[str, float]]
"""Names and values of pictures, most extreme first."""

PICTURES = 0.9
"""Share of the present number of pictures that later sets must have at least."""
SIDES = 0.1
"""Share by which sides and aspect ratios may exceed the present ones, unless all are equal."""
BAD_SHARE = 0.01
"""Allowed share of corrupt files, and of copies; twice the present share if that is more."""
CLASS_SHARE = 0.5
"""Relative change allowed in the share of a class."""
COLOUR = 0.25
"""Change allowed in the mean colour, in standard deviations; for photographs 19 levels of 255."""
CLASS_SHARES = 0.1
"""Total variation allowed between the shares of classes."""
FEATURES = 0.25
"""Shift allowed in features, in spreads, beside twice the shift expected by chance."""
LISTED = 5
"""Most names of classes or pictures in a reason."""


class Rules(BaseModel):
    """Rules of a contract; None disables one."""

    # The docstring of a rule is its comment in the file, so they cannot disagree.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ShiftRules(Rules):
    """Bounds on the shift of a set from a reference."""

    reference: str
    """Report of the reference set: a file beside the contract."""
    most_colour: Bound | None = None
    """Largest difference of a channel's mean, in standard deviations of the reference."""
    most_class_shares: Share | None = None
    """Largest total variation of the shares of classes: 0 if equal, 1 if no class remains."""
    most_features: Bound | None = None
    """Largest Fréchet distance of thumbnail features, in spreads of the reference."""


class Contract(Rules):
    """Rules that a set of pictures must keep; missing ones are not enforced."""

    format_version: Literal[1] = 1
    """Changes when the meaning of a rule does."""
    channels: Literal["grey", "rgb"] | None = None
    """Colour of the pictures, however stored: `grey` if at least 95 % have no colour."""
    modes: tuple[str, ...] | None = None
    """Allowed kinds of stored pixels, by Pillow's names of modes."""
    labelled: bool | None = None
    """True if every picture has a class."""
    classes: tuple[str, ...] | None = None
    """Exact names of the classes."""
    least_pictures: Count | None = None
    """Fewest readable pictures."""
    least_side: Count | None = None
    """Shortest side in pixels of any picture."""
    most_side: Count | None = None
    """Longest side in pixels of any picture."""
    least_aspect_ratio: Bound | None = None
    """Smallest width divided by height."""
    most_aspect_ratio: Bound | None = None
    """Largest width divided by height."""
    most_corrupt: Share | None = None
    """Largest share of the pictures that cannot be read."""
    most_duplicates: Share | None = None
    """Largest share of the pictures that are exact copies of another one."""
    class_shares: dict[str, tuple[Share, Share]] | None = None
    """Smallest and largest share of each class among the pictures."""
    least_colour: Channels | None = None
    """Smallest mean level of red, green and blue, from 0 to 255."""
    most_colour: Channels | None = None
    """Largest mean level of red, green and blue."""
    shift: ShiftRules | None = None
    """Bounds on the shift from a reference."""

    def broken_by(self, survey: Survey, reference: Survey | None = None) -> list[str]:
        """List the rules that a set breaks, each with the value received; empty if none."""
        reasons = [*_of_kind(self, survey), *_of_numbers(self, survey)]
        if self.shift is not None and reference is not None:
            reasons += _of_shift(self.shift, survey, reference)
        return reasons


def derived(survey: Survey, reference: str) -> Contract:
    """Derive a contract from a set, whose report is `reference`, with room for similar sets."""
    sizes, colours, count = survey.sizes, survey.colours, max(1, survey.readable)
    # Pictures of one size are meant to have it, so there is no room.
    same_side = sizes.shortest_side.least == sizes.longest_side.most
    same_aspect = sizes.aspect_ratio.least == sizes.aspect_ratio.most
    side, aspect = (0 if same_side else SIDES), (0 if same_aspect else SIDES)
    room = [COLOUR * std for std in colours.std]
    # Sets of this size differ that much by the choice of their pictures alone.
    chance = shift(survey, survey).features_by_chance
    shares = {name: pictures / count for name, pictures in survey.classes.items()}
    return Contract(
        channels="grey" if survey.suggestions.channels.value == 1 else "rgb",
        modes=tuple(sorted(survey.modes)),
        labelled=_labelled(survey),
        classes=tuple(survey.classes),
        least_pictures=int(PICTURES * survey.readable),
        least_side=int(sizes.shortest_side.least * (1 - side)),
        most_side=round(sizes.longest_side.most * (1 + side)),
        least_aspect_ratio=_short(sizes.aspect_ratio.least * (1 - aspect)),
        most_aspect_ratio=_short(sizes.aspect_ratio.most * (1 + aspect)),
        most_corrupt=_twice(_corrupt_share(survey)),
        most_duplicates=_twice(_duplicate_share(survey)),
        class_shares={
            name: (_short(share * (1 - CLASS_SHARE)), _short(min(1, share * (1 + CLASS_SHARE))))
            for name, share in shares.items()
        },
        least_colour=_three(max(0, m - r) for m, r in zip(colours.mean, room, strict=True)),
        most_colour=_three(min(255, m + r) for m, r in zip(colours.mean, room, strict=True)),
        shift=ShiftRules(
            reference=reference,
            most_colour=COLOUR,
            most_class_shares=CLASS_SHARES,
            most_features=_short(FEATURES + 2 * chance),
        ),
    )


def _of_kind(contract: Contract, survey: Survey) -> Iterator[str]:
    share = survey.colours.grey_share
    channels = "grey" if survey.suggestions.channels.value == 1 else "rgb"
    if contract.channels not in (None, channels):
        yield _reason("channels", contract.channels, f"{channels}, with {share:.3g} of them grey")
    if contract.modes is not None and (others := sorted(survey.modes.keys() - contract.modes)):
        counts = ", ".join(f"{mode} ({survey.modes[mode]})" for mode in others)
        such = [name for mode in others for name in survey.named.of_modes.get(mode, ())]
        yield _reason("modes", f"some of {', '.join(contract.modes)}", counts + _as_in(such))
    if contract.labelled not in (None, _labelled(survey)):
        without = f"{survey.unlabelled} without a class{_as_in(survey.named.unlabelled)}"
        yield _reason("labelled", contract.labelled, without)
    if contract.classes is not None and set(contract.classes) != survey.classes.keys():
        new = [name for name in survey.classes if name not in contract.classes]
        missing = [name for name in contract.classes if name not in survey.classes]
        changes = [
            f"{title} {_some(names)}" for title, names in (("new", new), ("no", missing)) if names
        ]
        yield _reason("classes", f"the {len(contract.classes)} stated", ", ".join(changes))


def _of_numbers(contract: Contract, survey: Survey) -> Iterator[str]:
    sizes, named = survey.sizes, survey.named
    copies = [name for group in survey.exact_duplicates for name in group[1:]]
    # Infinite, because each corrupt picture and copy may be named, whatever the bound.
    measured: dict[str, tuple[float, Outermost]] = {
        "least_pictures": (survey.readable, ()),
        "least_side": (sizes.shortest_side.least, named.smallest),
        "most_side": (sizes.longest_side.most, named.largest),
        "least_aspect_ratio": (sizes.aspect_ratio.least, named.narrowest),
        "most_aspect_ratio": (sizes.aspect_ratio.most, named.widest),
        "most_corrupt": (_corrupt_share(survey), [(name, math.inf) for name, _ in survey.corrupt]),
        "most_duplicates": (_duplicate_share(survey), [(name, math.inf) for name in copies]),
    }
    for rule, (value, outermost) in measured.items():
        bounded = _at_least if rule.startswith("least") else _at_most
        yield from bounded(rule, getattr(contract, rule), value, outermost)
    for name, (fewest, largest) in (contract.class_shares or {}).items():
        share = survey.classes.get(name, 0) / max(1, survey.readable)
        yield from _at_least(f"class_shares.{name}", fewest, share)
        yield from _at_most(f"class_shares.{name}", largest, share)
    unbounded = (None, None, None)
    least, most = contract.least_colour or unbounded, contract.most_colour or unbounded
    for channel, name in enumerate(("red", "green", "blue")):
        level = survey.colours.mean[channel]
        yield from _at_least(f"least_colour.{name}", least[channel], level)
        yield from _at_most(f"most_colour.{name}", most[channel], level)


def _of_shift(rules: ShiftRules, survey: Survey, reference: Survey) -> Iterator[str]:
    moved = shift(reference, survey)
    yield from _at_most("shift.most_colour", rules.most_colour, moved.largest_colour)
    yield from _at_most("shift.most_class_shares", rules.most_class_shares, moved.class_shares)
    yield from _at_most("shift.most_features", rules.most_features, moved.features)


def _at_least(rule: str, bound: float | None, value: float, of: Outermost = ()) -> Iterator[str]:
    # Rounded like the bounds, so that the set that they were derived from keeps them.
    if bound is not None and _short(value) < bound:
        beyond = [name for name, each in of if _short(each) < bound]
        yield _reason(rule, f"at least {bound:g}", f"{value:.4g}{_as_in(beyond)}")


def _at_most(rule: str, bound: float | None, value: float, of: Outermost = ()) -> Iterator[str]:
    if bound is not None and _short(value) > bound:
        beyond = [name for name, each in of if _short(each) > bound]
        yield _reason(rule, f"at most {bound:g}", f"{value:.4g}{_as_in(beyond)}")


def _as_in(names: Sequence[str]) -> str:
    return f", as in {', '.join(map(shown, names[:LISTED]))}" if names else ""


def _reason(rule: str, bound: object, received: str) -> str:
    return f"`{rule}` must be {bound}. Received: {received}"


def _some(names: list[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _labelled(survey: Survey) -> bool:
    return bool(survey.classes) and not survey.unlabelled


def _corrupt_share(survey: Survey) -> float:
    return len(survey.corrupt) / max(1, survey.pictures)


def _duplicate_share(survey: Survey) -> float:
    copies = sum(len(group) - 1 for group in survey.exact_duplicates)
    return copies / max(1, survey.readable)


def _twice(bad: float) -> float:
    return _short(min(1, max(BAD_SHARE, 2 * bad)))


def _short(value: float) -> float:
    return round(value, 4)


def _three(values: Iterator[float]) -> Channels:
    red, green, blue = map(_short, values)
    return red, green, blue
