"""`growgan pipeline status` and `history`, as a person and a machine read them."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.orchestration.project import PIPELINE
from pipeline.orchestration.runs.outcome import (
    Outcome,
    SnapshotSummary,
    StepResult,
    history_folder,
    write_outcome,
)
from pipeline.orchestration.runs.run import RunState, write_state
from savedmodels.repository.publisher import publisher_of
from savedmodels.repository.repository import Repository
from savedmodels.repository.servers import Watchers
from savedmodels.repository.versions import About
from tests.pipeline.cli.commands import Growgan

BEGIN = datetime(2026, 5, 4, 2, tzinfo=UTC)


def outcome(day: int, **changes: object) -> Outcome:
    content = {
        "run": f"2026050{day}-020000-a",
        "model": "faces",
        "trigger": "schedule",
        "started": BEGIN.replace(day=day),
        "ended": BEGIN.replace(day=day, hour=3, minute=11),
        "verdict": "promoted",
        "reason": "`stable` stands at version 2",
        "version": 2,
        "previous_version": 1,
        "snapshot": SnapshotSummary(content_hash="50ce" * 16, images=6500, new=500),
    }
    return Outcome.model_validate({**content, **changes})


@pytest.fixture(name="project")
def _project(tmp_path: Path) -> Path:
    folder = tmp_path / "faces"
    (folder / "incoming").mkdir(parents=True)
    (folder / "pipeline.yaml").write_text(
        "{model: faces, sources: [incoming], preset: quickstart}\n"
    )
    return folder


def test_a_new_project_has_done_nothing(growgan: Growgan, project: Path) -> None:
    before = sorted(project.rglob("*"))
    result = growgan("pipeline", "status", project)
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines() == [
        f"model: faces, in {project / 'models'}",
        "up: no, so nothing starts by itself",
        "now: nothing runs",
        "last: no run has ended yet",
        "gate: pipeline.yaml has no `gate`: a model is promoted whatever its scores are",
        "stable: serves nothing yet",
    ]
    assert growgan("pipeline", "history", project).out == "no run has ended yet\n"
    assert json.loads(growgan("pipeline", "history", project, "--json").out) == []
    assert sorted(project.rglob("*")) == before


def test_status_tells_what_runs_what_ended_and_what_is_served(
    growgan: Growgan, project: Path, savedmodel, tmp_path: Path
) -> None:
    write_outcome(project, outcome(4, verdict="failed", reason="earlier"))
    write_outcome(project, outcome(5, serving=1))
    nobody, repository = Watchers(none=True), Repository(project / "models")
    with publisher_of(repository, "faces") as publisher:
        for weights in ("one", "two", "three"):
            publisher.publish(savedmodel(tmp_path / weights, weights), About())
        publisher.promote("stable", 1, nobody)
        publisher.promote("canary", 3, nobody)
        publisher.promote("stable", 2, Watchers())
    begun = RunState(
        started=BEGIN.replace(day=6),
        trigger="new data",
        snapshot="50ce",
        former=1,
        new=3,
        steps=tuple(
            StepResult(name=name, state=state)
            for name, state in (
                ("source_snapshot", "done"),
                ("checked_data", "unchanged"),
                ("records", "failed"),
            )
        ),
    )
    for run in ("20260503-killed", "20260506-now"):
        folder = history_folder(project, run)
        folder.mkdir()
        write_state(folder, begun)
        shutil.copy(project / PIPELINE, folder)
    asleep = growgan("pipeline", "status", project)
    assert "now: nothing runs" in asleep.out.splitlines()
    with (project / ".run.lock").open("a") as run, (project / ".up.lock").open("a") as up:
        for file in (run, up):
            fcntl.flock(file, fcntl.LOCK_EX)
        run.write("now")
        run.flush()
        result = growgan("pipeline", "status", project)
        machine = json.loads(growgan("pipeline", "status", project, "--json").out)
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines() == [
        f"model: faces, in {project / 'models'}",
        "up: yes",
        "now: 20260506-now, at records; started by: new data, 2026-05-06 02:00 UTC",
        "last: 20260505-020000-a, promoted, 2026-05-05 03:11 UTC: `stable` stands at version 2",
        "      Version 2 serves, in place of version 1",
        "gate: pipeline.yaml has no `gate`: a model is promoted whatever its scores are",
        "stable: serves version 1, waits for version 2",
        "canary: serves version 3",
    ]
    assert (machine["model"], machine["up"]) == ("faces", True)
    assert machine["now"]["run"] == "20260506-now"
    assert machine["now"]["step"] == "records"
    assert machine["now"]["begun"]["steps"][1]["state"] == "unchanged"
    assert machine["last"] == json.loads(outcome(5, serving=1).model_dump_json())
    assert machine["labels"] == [
        {"label": "stable", "version": 1, "there": True, "waits_for": 2},
        {"label": "canary", "version": 3, "there": True, "waits_for": None},
    ]


def test_status_tells_what_was_changed_by_hand(
    growgan: Growgan, project: Path, savedmodel, tmp_path: Path
) -> None:
    write_outcome(project, outcome(5, serving=1))
    repository = Repository(project / "models")
    with publisher_of(repository, "faces") as publisher:
        for weights in ("one", "two"):
            publisher.publish(savedmodel(tmp_path / weights, weights), About())
        publisher.promote("stable", 2, Watchers(none=True))
    assert "      `stable` was moved since then\n" in growgan("pipeline", "status", project).out
    shutil.rmtree(project / "models" / "faces" / "2")
    gone = "stable: serves version 2, whose folder is gone from the repository: publish it again"
    assert gone in growgan("pipeline", "status", project).out


def test_history_is_the_newest_first(growgan: Growgan, project: Path, evaluated) -> None:
    scores = evaluated(scores={"fid": (3.0, 2.5, float("inf"))})
    outcomes = [
        outcome(4, evaluation=scores),
        outcome(5, verdict="unchanged", version=None, reason="nothing [bold]new[/bold]"),
        outcome(6, verdict="failed", version=None, snapshot=None, trigger="back-fill", reason="r"),
    ]
    for each in outcomes:
        write_outcome(project, each)
    result = growgan("pipeline", "history", project)
    assert (result.status, result.err) == (0, "")
    lines = [" ".join(line.split()) for line in result.out.splitlines()]
    assert lines == [
        "began, UTC verdict version trigger pictures new score time reason",
        "2026-05-06 02:00 failed back-fill 1 h 11 min r",
        "2026-05-05 02:00 unchanged schedule 6,500 500 1 h 11 min nothing [bold]new[/bold]",
        "2026-05-04 02:00 promoted 2 schedule 6,500 500 FID 3 (2.5 to inf) 1 h 11 min "
        "`stable` stands at version 2",
    ]
    newest = growgan("pipeline", "history", project, "--last", 1)
    assert len(newest.out.splitlines()) == 2
    machine = json.loads(growgan("pipeline", "history", project, "--json", "--last", 2).out)
    assert [Outcome.model_validate(each) for each in machine] == outcomes[:0:-1]
    every = json.loads(growgan("pipeline", "history", project, "--json").out)
    assert every[2]["evaluation"]["scores"][0]["high"] == "Infinity"


def test_mistakes_are_one_line(growgan: Growgan, project: Path, tmp_path: Path) -> None:
    write_outcome(project, outcome(4)).write_text("{}")
    for words, message in (
        (("status", tmp_path), "a project must have a pipeline.yaml, which"),
        (("history", tmp_path), "a project must have a pipeline.yaml, which"),
        (("status", project), "an outcome must be an `outcome.json` of schema 1"),
        (("history", project), "an outcome must be an `outcome.json` of schema 1"),
        (("history", project, "--last", 0), "--last"),
    ):
        result = growgan("pipeline", *words)
        assert (result.status, result.out) == (2, "")
        assert result.err.startswith("growgan: ")
        assert result.err.count("\n") == 1
        assert message in result.err


def test_a_damaged_repository_is_one_line(growgan: Growgan, project: Path) -> None:
    (project / "models" / "faces").mkdir(parents=True)
    (project / "models" / "faces" / "promotions.jsonl").write_text("?\n")
    result = growgan("pipeline", "status", project)
    assert result.status == 2
    assert result.err.startswith("growgan: every line of a history must be an event in JSON")


@pytest.mark.new_interpreter
def test_they_start_neither_tensorflow_nor_dagster(project: Path) -> None:
    words = ["growgan", "pipeline", "status", str(project)]
    code = (
        f"import sys; sys.argv = {words!r}\n"
        "from pipeline.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: status = end.code or 0\n"
        "heavy = {'tensorflow', 'keras', 'dagster', 'matplotlib'}\n"
        "sys.exit(f'{status} {set(sys.modules) & heavy}')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stderr == "0 set()\n"
