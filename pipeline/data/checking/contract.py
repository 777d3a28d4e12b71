"""Data contract: rules that are derived from one set of pictures and that later sets must keep.

`growgan data check` and scheduled runs check them; `contract_file.py` reads and writes the file.
"""

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

Outermost = Sequence[tuple[str, float]]  # Names and values of pictures, most extreme value first.

MIN_PICTURES_SHARE = 0.9
"""Minimum number of pictures of later sets, as a share of the set the contract is derived from."""
SIDE_MARGIN = 0.1
"""Share by which later sides and aspect ratios may lie outside the set's range, unless the set has
a single size or aspect ratio."""
MIN_BAD_SHARE = 0.01
"""Share of corrupt files, and of copies, that is always allowed; twice the set's share if more."""
CLASS_SHARE_MARGIN = 0.5
"""Allowed change in the share of a class, relative to its share in the set."""
MAX_COLOUR_SHIFT = 0.25
"""Allowed change in the mean colour, in standard deviations; for photographs 19 levels of 255."""
MAX_CLASS_SHARES_SHIFT = 0.1  # Allowed total variation distance between the shares of classes.
MAX_FEATURES_SHIFT = 0.25
"""Allowed shift of features, in spreads, in addition to twice the shift expected by chance."""
LISTED = 5  # Maximum number of classes or pictures to name in a reason.


class Rules(BaseModel):
    """Rules of a contract; a rule that is None is not enforced."""

    # Use the docstring of a rule as its comment in the file, so that the two always agree.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ShiftRules(Rules):
    """Bounds on the shift of a set from a reference set."""

    reference: str
    """Report of the reference set: a file beside the contract."""
    most_colour: Bound | None = None
    """Maximum difference of a channel's mean, in standard deviations of the reference."""
    most_class_shares: Share | None = None
    """Maximum total variation distance of the classes' shares: 0 if equal, 1 if disjoint."""
    most_features: Bound | None = None
    """Maximum Fréchet distance of thumbnail features, in spreads of the reference."""


class Contract(Rules):
    """Rules that a set of pictures must keep; a rule that is missing is not enforced."""

    format_version: Literal[1] = 1
    """Version of the rules, which changes when the meaning of a rule changes."""
    channels: Literal["grey", "rgb"] | None = None
    """Colour of the pictures, however stored: `grey` if at least 95 % have no colour."""
    modes: tuple[str, ...] | None = None
    """Allowed modes of the stored pixels, by Pillow's names."""
    labelled: bool | None = None
    """True if every picture has a class."""
    classes: tuple[str, ...] | None = None
    """Exact names of the classes."""
    least_pictures: Count | None = None
    """Minimum number of readable pictures."""
    least_side: Count | None = None
    """Minimum side of a picture, in pixels."""
    most_side: Count | None = None
    """Maximum side of a picture, in pixels."""
    least_aspect_ratio: Bound | None = None
    """Minimum width divided by height."""
    most_aspect_ratio: Bound | None = None
    """Maximum width divided by height."""
    most_corrupt: Share | None = None
    """Maximum share of the pictures that cannot be read."""
    most_duplicates: Share | None = None
    """Maximum share of the readable pictures that are exact copies of an earlier one."""
    class_shares: dict[str, tuple[Share, Share]] | None = None
    """Minimum and maximum share of each class among the readable pictures."""
    least_colour: Channels | None = None
    """Minimum mean level of red, green and blue, from 0 to 255."""
    most_colour: Channels | None = None
    """Maximum mean level of red, green and blue, from 0 to 255."""
    shift: ShiftRules | None = None
    """Bounds on the shift from a reference."""

    def broken_by(self, survey: Survey, reference: Survey | None = None) -> list[str]:
        """List the rules that a set breaks, each with the value received; empty if none.

        The rules in `shift` are checked only if the report of the reference set is given.
        """
        reasons = [*_check_categories(self, survey), *_check_numbers(self, survey)]
        if self.shift is not None and reference is not None:
            reasons += _check_shift(self.shift, survey, reference)
        return reasons


def derive_contract(survey: Survey, reference: str) -> Contract:
    """Derive a contract from a set, with margins so that similar sets pass.

    `reference` is the name of the set's report, a file beside the contract.
    """
    sizes, colours, count = survey.sizes, survey.colours, max(1, survey.readable)
    # Allow no margin if all pictures have the same size: it is probably required.
    same_side = sizes.shortest_side.least == sizes.longest_side.most
    same_aspect = sizes.aspect_ratio.least == sizes.aspect_ratio.most
    side, aspect = (0 if same_side else SIDE_MARGIN), (0 if same_aspect else SIDE_MARGIN)
    margins = [MAX_COLOUR_SHIFT * std for std in colours.std]
    # Two random sets of this size from one source differ by this much.
    chance = shift(survey, survey).features_by_chance
    shares = {name: pictures / count for name, pictures in survey.classes.items()}
    return Contract(
        channels="grey" if survey.suggestions.channels.value == 1 else "rgb",
        modes=tuple(sorted(survey.modes)),
        labelled=_is_labelled(survey),
        classes=tuple(survey.classes),
        least_pictures=int(MIN_PICTURES_SHARE * survey.readable),
        least_side=int(sizes.shortest_side.least * (1 - side)),
        most_side=round(sizes.longest_side.most * (1 + side)),
        least_aspect_ratio=_round(sizes.aspect_ratio.least * (1 - aspect)),
        most_aspect_ratio=_round(sizes.aspect_ratio.most * (1 + aspect)),
        most_corrupt=_max_bad_share(_corrupt_share(survey)),
        most_duplicates=_max_bad_share(_duplicate_share(survey)),
        class_shares={
            name: (
                _round(share * (1 - CLASS_SHARE_MARGIN)),
                _round(min(1, share * (1 + CLASS_SHARE_MARGIN))),
            )
            for name, share in shares.items()
        },
        least_colour=_round_channels(
            max(0, mean - margin) for mean, margin in zip(colours.mean, margins, strict=True)
        ),
        most_colour=_round_channels(
            min(255, mean + margin) for mean, margin in zip(colours.mean, margins, strict=True)
        ),
        shift=ShiftRules(
            reference=reference,
            most_colour=MAX_COLOUR_SHIFT,
            most_class_shares=MAX_CLASS_SHARES_SHIFT,
            most_features=_round(MAX_FEATURES_SHIFT + 2 * chance),
        ),
    )


def _check_categories(contract: Contract, survey: Survey) -> Iterator[str]:
    share = survey.colours.grey_share
    channels = "grey" if survey.suggestions.channels.value == 1 else "rgb"
    if contract.channels not in (None, channels):
        yield _reason("channels", contract.channels, f"{channels}, with {share:.3g} of them grey")
    if contract.modes is not None and (others := sorted(survey.modes.keys() - contract.modes)):
        counts = ", ".join(f"{mode} ({survey.modes[mode]})" for mode in others)
        examples = [name for mode in others for name in survey.named.of_modes.get(mode, ())]
        yield _reason("modes", f"some of {', '.join(contract.modes)}", counts + _as_in(examples))
    if contract.labelled not in (None, _is_labelled(survey)):
        without = f"{survey.unlabelled} without a class{_as_in(survey.named.unlabelled)}"
        yield _reason("labelled", contract.labelled, without)
    if contract.classes is not None and set(contract.classes) != survey.classes.keys():
        new = [name for name in survey.classes if name not in contract.classes]
        missing = [name for name in contract.classes if name not in survey.classes]
        changes = [
            f"{title} {_join_first(names)}"
            for title, names in (("new", new), ("no", missing))
            if names
        ]
        yield _reason("classes", f"the {len(contract.classes)} stated", ", ".join(changes))


def _check_numbers(contract: Contract, survey: Survey) -> Iterator[str]:
    sizes, named = survey.sizes, survey.named
    copies = [name for group in survey.exact_duplicates for name in group[1:]]
    # Give corrupt pictures and copies an infinite value, so that they are named at any bound.
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
        check = _at_least if rule.startswith("least") else _at_most
        yield from check(rule, getattr(contract, rule), value, outermost)
    for name, (minimum, maximum) in (contract.class_shares or {}).items():
        share = survey.classes.get(name, 0) / max(1, survey.readable)
        yield from _at_least(f"class_shares.{name}", minimum, share)
        yield from _at_most(f"class_shares.{name}", maximum, share)
    unbounded = (None, None, None)
    lower, upper = contract.least_colour or unbounded, contract.most_colour or unbounded
    for channel, name in enumerate(("red", "green", "blue")):
        level = survey.colours.mean[channel]
        yield from _at_least(f"least_colour.{name}", lower[channel], level)
        yield from _at_most(f"most_colour.{name}", upper[channel], level)


def _check_shift(rules: ShiftRules, survey: Survey, reference: Survey) -> Iterator[str]:
    found = shift(reference, survey)
    yield from _at_most("shift.most_colour", rules.most_colour, found.largest_colour)
    yield from _at_most("shift.most_class_shares", rules.most_class_shares, found.class_shares)
    yield from _at_most("shift.most_features", rules.most_features, found.features)


def _at_least(
    rule: str, bound: float | None, value: float, pictures: Outermost = ()
) -> Iterator[str]:
    # Round like the bounds, so that a set keeps the contract that is derived from it.
    if bound is not None and _round(value) < bound:
        outside = [name for name, own in pictures if _round(own) < bound]
        yield _reason(rule, f"at least {bound:g}", f"{value:.4g}{_as_in(outside)}")


def _at_most(
    rule: str, bound: float | None, value: float, pictures: Outermost = ()
) -> Iterator[str]:
    if bound is not None and _round(value) > bound:
        outside = [name for name, own in pictures if _round(own) > bound]
        yield _reason(rule, f"at most {bound:g}", f"{value:.4g}{_as_in(outside)}")


def _as_in(names: Sequence[str]) -> str:
    return f", as in {', '.join(map(shown, names[:LISTED]))}" if names else ""


def _reason(rule: str, bound: object, received: str) -> str:
    return f"`{rule}` must be {bound}. Received: {received}"


def _join_first(names: list[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _is_labelled(survey: Survey) -> bool:
    return bool(survey.classes) and not survey.unlabelled


def _corrupt_share(survey: Survey) -> float:
    return len(survey.corrupt) / max(1, survey.pictures)


def _duplicate_share(survey: Survey) -> float:
    copies = sum(len(group) - 1 for group in survey.exact_duplicates)
    return copies / max(1, survey.readable)


def _max_bad_share(present: float) -> float:
    return _round(min(1, max(MIN_BAD_SHARE, 2 * present)))


def _round(value: float) -> float:
    return round(value, 4)


def _round_channels(values: Iterator[float]) -> Channels:
    red, green, blue = map(_round, values)
    return red, green, blue
