"""Outcomes: written whole, read back as they were, damage told in one line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.config import GateConfig
from pipeline.errors import UserError
from pipeline.evaluation.gate import judge
from pipeline.orchestration.runs.outcome import (
    OUTCOME,
    history_folder,
    history_of,
    read_outcome,
    write_outcome,
)


def test_it_is_read_back_as_it_was_written(outcome_of, evaluated, tmp_path: Path) -> None:
    evaluation = evaluated(scores={"fid": (3.0, 2.0, float("inf")), "swd_8": 1.5})
    outcome = outcome_of(
        evaluation=evaluation,
        promoted=evaluated(900),
        gate=judge(evaluation, GateConfig(max_fid=4)),
        report="runs/a/evaluations/images-000001000/lenet/report.html",
        pictures=("runs/a/samples.png",),
        curves="runs/a/metrics.jsonl",
    )
    file = write_outcome(tmp_path, outcome)
    assert file == tmp_path / "history" / "run-0" / "outcome.json"
    assert read_outcome(file) == outcome
    assert json.loads(file.read_text())["schema"] == 1
    assert [path.name for path in file.parent.iterdir()] == [OUTCOME]


def test_the_history_is_in_the_order_of_time(outcome_of, tmp_path: Path) -> None:
    assert history_of(tmp_path) == []
    outcomes = [outcome_of(day, run=f"z{9 - day}") for day in range(3)]
    for each in reversed(outcomes):
        write_outcome(tmp_path, each)
    history_folder(tmp_path, "killed").mkdir()
    assert history_of(tmp_path) == outcomes


def test_a_later_ending_of_a_run_takes_the_place_of_the_first(outcome_of, tmp_path: Path) -> None:
    write_outcome(tmp_path, outcome_of(verdict="interrupted"))
    write_outcome(tmp_path, outcome_of())
    assert [each.verdict for each in history_of(tmp_path)] == ["promoted"]


def test_text_is_one_line_that_no_terminal_takes_for_a_command(outcome_of) -> None:
    outcome = outcome_of(model="a\r\nBcc: b", reason=" first\n\n  second\x1b[31m\u2028third ")
    assert outcome.model == "a Bcc: b"
    assert outcome.reason == "first second [31m third"


def test_times_are_told_in_utc(outcome_of) -> None:
    tokyo = datetime(2026, 5, 4, 11, tzinfo=timezone(timedelta(hours=9)))
    outcome = outcome_of(started=tokyo, ended=datetime(2026, 5, 4, 2, 1, tzinfo=UTC))
    assert (outcome.started.hour, outcome.started.tzinfo) == (2, UTC)
    assert outcome.seconds == 60
    with pytest.raises(ValidationError, match="timezone"):
        outcome_of(started=datetime(2026, 5, 4, 11))


@pytest.mark.parametrize(
    "wrong",
    [
        {"run": "../a"},
        {"run": ""},
        {"run": "a/b"},
        {"run": "a\n"},
        {"report": "/etc/passwd"},
        {"pictures": ("runs/../../a.png",)},
        {"verdict": "good"},
        {"version": 0},
        {"colour": "red"},
    ],
)
def test_what_no_run_has_is_refused(outcome_of, wrong: dict) -> None:
    with pytest.raises(ValidationError):
        outcome_of(**wrong)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema": 7}, "of schema 7"),
        ({"verdict": "good"}, "where `verdict` is wrong"),
        ({"steps": [{"name": "a"}]}, "where `steps.0.state` is wrong"),
        (None, "with Invalid JSON"),
    ],
)
def test_damage_is_one_line(outcome_of, tmp_path: Path, change: dict | None, told: str) -> None:
    file = write_outcome(tmp_path, outcome_of())
    text = file.read_text()
    file.write_text(text[:99] if change is None else json.dumps({**json.loads(text), **change}))
    with pytest.raises(UserError, match=told) as caught:
        history_of(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_outcome(tmp_path / OUTCOME)
