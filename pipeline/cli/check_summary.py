"""Print what `growgan data check` found, as a table or lines of `name: text`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from pipeline.cli.console import say
from pipeline.cli.tables import LISTED, join_counts, join_first
from pipeline.data.checking.report import Shift, Sizes, Spread, Survey
from pipeline.data.checking.suggestions import percent

LISTED_OF_GROUP = 3  # Maximum number of names to print of one group of duplicates.
SUSPICIOUS = 0.1
"""Share of near duplicates above which the pictures are probably similar, not copied."""

Lines = dict[str, str]  # Text of each line by its name.


def show(console: Console, survey: Survey, source: str) -> None:
    """Print measurements of a source, suggested settings, and its shift from a previous source."""
    show_lines(console, source, dict(_finding_lines(survey)))
    if survey.readable:
        show_lines(console, "suggested", _suggestion_lines(survey))
    if survey.shift is not None:
        show_lines(console, f"compared with {survey.shift.previous}", _shift_lines(survey.shift))


def show_lines(console: Console, title: str, lines: Lines) -> None:
    """Print a table with a title in a terminal, and plain lines elsewhere."""
    if console.is_terminal:
        table = Table(title=title, title_justify="left", show_header=False, box=None)
        table.add_column(style="bold", justify="right", no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in lines.items():
            table.add_row(name, text)
        console.print(table)
        return
    width = max(map(len, lines))
    for line in (f"{title}:", *(f"{name:>{width + 2}}: {text}" for name, text in lines.items())):
        say(console, line)


def _finding_lines(survey: Survey) -> Iterator[tuple[str, str]]:
    yield "pictures", f"{survey.readable} readable, {len(survey.corrupt)} corrupt"
    if survey.corrupt:
        yield "corrupt", join_first([f"{name} ({reason})" for name, reason in survey.corrupt])
    if survey.left_out:
        yield "left out", f"{join_counts(survey.left_out)}, which are not read"
    if not survey.readable:
        return
    yield "sizes", _format_sizes(survey.sizes)
    yield "stored as", f"{join_counts(survey.formats)}; {join_counts(survey.modes)}"
    yield "classes", _format_classes(survey)
    colours = survey.colours
    yield (
        "colours",
        f"mean {_format_levels(colours.mean)}, deviation {_format_levels(colours.std)} of 255; "
        f"{percent(colours.grey_share)} grey",
    )
    if survey.blank:
        yield "blank", f"{len(survey.blank)}: {join_first(survey.blank)}"
    conflicts = survey.label_conflicts
    in_several = f"; {conflicts} of the groups in several classes" if conflicts else ""
    yield "copies", _format_groups(survey.exact_duplicates) + in_several
    alike = sum(map(len, survey.near_duplicates))
    doubt = (
        "; this many suggests frames of a film, or things as simple as digits"
        if alike > SUSPICIOUS * survey.readable
        else ""
    )
    yield "look alike", _format_groups(survey.near_duplicates) + doubt


def _suggestion_lines(survey: Survey) -> Lines:
    suggested = survey.suggestions
    advice = {name: getattr(suggested, name) for name in type(suggested).model_fields}
    return {
        name: f"{_format_value(each.value)}, since {each.reason}" for name, each in advice.items()
    }


def _shift_lines(shift: Shift) -> Lines:
    red, green, blue = shift.colour
    classes = [f"{percent(shift.class_shares)} of the pictures changed class"]
    for title, names in (("new", shift.new_classes), ("gone", shift.vanished_classes)):
        if names:
            classes.append(f"{title}: {join_first(names)}")
    return {
        "mean colour": f"red {red:+.2f}, green {green:+.2f}, blue {blue:+.2f} deviations",
        "class shares": "; ".join(classes),
        "features": f"{shift.features:.3f} spreads apart, {shift.features_by_chance:.3f} by chance",
        "contents": f"{percent(shift.new_pictures)} are new, {percent(shift.vanished_pictures)} "
        "of the previous ones are gone",
    }


def _format_sizes(sizes: Sizes) -> str:
    if sizes.shortest_side.least == sizes.longest_side.most:
        return f"all {sizes.width.most:.0f}x{sizes.height.most:.0f}"
    ratio = sizes.aspect_ratio
    return (
        f"width {_format_spread(sizes.width)}, height {_format_spread(sizes.height)}, "
        f"width/height {ratio.least:.3g} to {ratio.most:.3g}; "
        f"shortest sides from {join_counts(sizes.shortest_sides)}"
    )


def _format_spread(spread: Spread) -> str:
    if spread.least == spread.most:
        return f"{spread.most:.0f}"
    return f"{spread.least:.0f} to {spread.most:.0f} (median {spread.median:.0f})"


def _format_classes(survey: Survey) -> str:
    if not survey.classes:
        return "none"
    by_size = sorted(survey.classes.items(), key=lambda item: -item[1])
    text = f"{len(by_size)}: {join_counts(dict(by_size))}"
    name, smallest = by_size[-1]
    if by_size[0][1] == smallest:
        text = f"{len(by_size)} of {smallest} pictures: {join_first(list(survey.classes))}"
    elif len(by_size) > LISTED:
        text += f", the smallest {name} ({smallest})"
    return text + (f"; {survey.unlabelled} without" if survey.unlabelled else "")


def _format_levels(levels: Sequence[float]) -> str:
    return " ".join(f"{level:.0f}" for level in levels)


def _format_groups(groups: tuple[tuple[str, ...], ...]) -> str:
    if not groups:
        return "none"
    count = "1 group" if len(groups) == 1 else f"{len(groups)} groups"
    first = join_first(groups[0], LISTED_OF_GROUP, " = ")
    return f"{sum(map(len, groups))} pictures in {count}, such as {first}"


def _format_value(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
