import json
from pathlib import Path

import pytest

from pipeline.data.checking.report import read_report, report_text, write_check_report
from pipeline.data.checking.shift import shift
from pipeline.data.checking.survey import survey
from pipeline.errors import UserError


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    found = survey("digits")
    found = found.model_copy(update={"shift": shift(found, found), "broken_rules": ("a", "b")})
    path = write_check_report(tmp_path / "new" / "folder", found)
    assert path == tmp_path / "new" / "folder" / "report.json"
    assert read_report(path) == read_report(path.parent) == found
    assert [file.name for file in path.parent.iterdir()] == ["report.json"]


def test_lists_of_numbers_take_a_line(tmp_path: Path) -> None:
    found = survey("digits")
    text = report_text(found)
    assert text.count("\n") < 2_000  # most of them the names of near duplicates
    assert max(map(len, text.splitlines())) > 10_000
    assert json.loads(text) == found.model_dump(mode="json")


@pytest.mark.parametrize("text", [None, "", "{}", '{"format_version": 2}', "\x00"])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "report.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=r"`report.json` of format 1 .* Received: .*report\.json"):
        read_report(path)
