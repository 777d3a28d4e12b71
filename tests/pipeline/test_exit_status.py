"""Exit statuses, against the documents that tell users of them."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline import exit_status

ROOT = Path(__file__).parents[2]
ALL = {value for value in vars(exit_status).values() if isinstance(value, int)}


def statuses_in(page: str, heading: str) -> list[int]:
    """The numbers in the first column of the table below a line that has a text."""
    table = (ROOT / page).read_text().partition(heading)[2].partition("| --- | --- |\n")[2]
    rows = [line.split("|")[1] for line in table.partition("\n\n")[0].splitlines()]
    return [int(number) for row in rows for number in re.findall(r"\d+", row.partition("(")[0])]


def test_the_readme_has_every_status_once() -> None:
    assert {2, 3, 4, 5, 69, 74, 75} == ALL
    assert {129, 130, 143} == exit_status.STOPPED
    assert statuses_in("README.md", "## Exit status") == sorted({0, 1} | ALL | exit_status.STOPPED)


def test_a_scheduler_learns_what_to_do_after_every_status_of_training() -> None:
    told = statuses_in("docs/training.md", "a scheduler should:")
    killed = exit_status.of_signal(9)
    ours = {0, killed} | ALL | exit_status.STOPPED
    assert set(told) == ours - {exit_status.GATE, exit_status.VERIFY}
    assert len(told) == len(set(told))
