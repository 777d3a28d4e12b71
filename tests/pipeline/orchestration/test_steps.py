"""Steps of a run, without what they start."""

from __future__ import annotations

from pathlib import Path

from pipeline.evaluation.scores import folder_of, write_scores
from pipeline.orchestration.plan import Plan
from pipeline.orchestration.snapshots import take
from pipeline.orchestration.steps import sheets_of
from tests.pipeline.orchestration.projects import make_project, put_pictures


def test_sheets_are_the_newest_there_are(tmp_path: Path, evaluated) -> None:
    put_pictures(tmp_path / "incoming", 0, 3)
    project = make_project(tmp_path)
    plan = Plan(project, take(project))
    assert sheets_of(plan) == []
    plan.run.samples.mkdir(parents=True)
    for name in ("images-000000032.png", "images-000000064.png", "images-000000064.txt"):
        (plan.run.samples / name).touch()
    assert sheets_of(plan) == [plan.run.samples / "images-000000064.png"]
    checked = plan.checked("")
    checked.mkdir(parents=True)
    (checked / "report.json").touch()
    assert sheets_of(plan)[1:] == [checked / "contact-sheet.png"]
    scores = evaluated(64)
    write_scores(plan.run, scores)
    folder = folder_of(plan.run, scores)
    for name in ("worst.png", "samples.png", "report.html"):
        (folder / name).touch()
    assert len(sheets_of(plan)) == 2
    plan.note("evaluated", folder=str(folder.relative_to(project.path)))
    assert sheets_of(plan) == [
        folder / "samples.png", folder / "worst.png", checked / "contact-sheet.png",
    ]  # fmt: skip
