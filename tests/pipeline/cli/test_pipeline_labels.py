"""`growgan pipeline promote` and `rollback`: a label moves as the project's file says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from pipeline import exit_status
from pipeline.evaluation import publication
from pipeline.orchestration.plan import destination_of
from pipeline.orchestration.project import open_project
from savedmodels.repository import servers
from savedmodels.repository.publisher import publisher_of
from savedmodels.repository.repository import Repository
from savedmodels.repository.servers import Watchers
from savedmodels.repository.versions import About, Gate
from tests.pipeline.cli.commands import Growgan

Make = Callable[..., Path]


@pytest.fixture(name="project")
def _project(tmp_path: Path, savedmodel, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make a project with three versions, of which `stable` has stood at the first."""
    monkeypatch.setattr(servers, "POLL_SECONDS", 0)

    def make(*urls: str) -> Path:
        folder = tmp_path / "project"
        (folder / "incoming").mkdir(parents=True)
        (folder / "pipeline.yaml").write_text(
            "{model: faces, sources: [incoming], preset: quickstart,\n"
            f" repository: {{path: ../models, servers: {list(urls)}, wait_seconds: 100}}}}\n"
        )
        # A server that watches has to load the version before the label is in the configuration.
        watchers = Watchers(urls, seconds=100, none=not urls)
        refused = Gate(passed=False, reasons=("max_fid: too high",))
        with publisher_of(Repository(tmp_path / "models"), "faces") as publisher:
            for weights, gate in (("one", None), ("two", Gate(passed=True)), ("three", refused)):
                publisher.publish(savedmodel(tmp_path / weights, weights), About(gate=gate))
            publisher.promote("stable", 1, watchers)
        return folder

    return make


def test_a_label_moves_there_and_back(growgan: Growgan, project: Make, tmp_path: Path) -> None:
    folder = project()
    there = growgan("pipeline", "promote", folder, 2)
    assert (there.status, there.err) == (0, "")
    assert there.out.splitlines() == [
        "stable: stands at version 2",
        f"servers read: {folder}/../models/models.config",
    ]
    back = growgan("pipeline", "rollback", folder)
    assert (back.status, back.err) == (0, "")
    assert back.out.startswith("stable: stands at version 1\n")
    assert Repository(tmp_path / "models").label_state("faces").labels == {"stable": 1}


def test_the_gate_is_respected_but_by_force(growgan: Growgan, project: Make) -> None:
    folder = project()
    refused = growgan("pipeline", "promote", folder, 3)
    assert (refused.status, refused.out) == (exit_status.GATE, "")
    assert refused.err == (
        "growgan: `stable` moves only to a version that the gate has not failed, unless by "
        "`--force`. Received: max_fid: too high\n"
    )
    assert growgan("pipeline", "promote", folder, 3, "--force").status == 0


def test_what_the_gate_decided_after_the_publication_counts(
    growgan: Growgan, project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project()
    of_project = open_project(folder)
    note = {"version": 2, "destination": destination_of(of_project), "run": "runs/r"}
    (folder / "plans" / "p").mkdir(parents=True)
    (folder / "plans" / "p" / "published.json").write_text(json.dumps(note))
    (folder / "runs" / "r").mkdir(parents=True)
    (folder / "runs" / "r" / "config.yaml").touch()
    later = About(gate=Gate(passed=False, reasons=("max_fid: too high by now",)))
    monkeypatch.setattr(publication, "about", lambda run, images_seen: later)
    refused = growgan("pipeline", "promote", folder, 2)
    assert refused.status == exit_status.GATE
    assert refused.err.endswith("Received: max_fid: too high by now\n")
    assert growgan("pipeline", "promote", folder, 2, "--force").status == 0


def test_the_projects_servers_have_to_load_it(
    growgan: Growgan, project: Make, watching: ModuleType, tmp_path: Path
) -> None:
    server = watching.WatchingServer(tmp_path / "models" / "models.config")
    with server.listening() as url:
        folder = project(url)
        there = growgan("pipeline", "promote", folder, 2)
        assert (there.status, there.err) == (0, "")
        assert server.labels == {"faces": {"stable": 2}}
    file = folder / "pipeline.yaml"
    file.write_text(file.read_text().replace("wait_seconds: 100", "wait_seconds: 1"))
    waits = growgan("pipeline", "promote", folder, 1)
    assert (waits.status, waits.err) == (exit_status.AGAIN, "")
    assert waits.out.startswith("stable: waits for version 1; ")
    assert Repository(tmp_path / "models").label_state("faces").labels == {"stable": 2}


def test_mistakes_are_one_line(growgan: Growgan, project: Make, tmp_path: Path) -> None:
    folder = project()
    for words, message in (
        (("promote", tmp_path, 2), "a project must have a pipeline.yaml, which"),
        (("promote", folder, 7), "a version of faces must be one of 1, 2, 3. Received: 7"),
        (("promote", folder, 0), "'version': Input should be greater"),
        (("promote", folder), "version"),
        (("rollback", folder), "`stable` rolls back only to an earlier version of it"),
    ):
        result = growgan("pipeline", *words)
        assert (result.status, result.out) == (2, ""), result
        assert result.err.startswith("growgan: ")
        assert result.err.count("\n") == 1
        assert message in result.err
