"""Steps of a run, without what they start but for one test."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Never

import numpy as np
import PIL.Image
import pytest
import yaml

from pipeline.data.checking.report import write_check_report
from pipeline.data.checking.survey import survey
from pipeline.evaluation.publication import about
from pipeline.evaluation.scores import Evaluation, folder_of, write_evaluation, write_scores
from pipeline.loading import load
from pipeline.orchestration import steps
from pipeline.orchestration.commands import Log
from pipeline.orchestration.kubernetes.job import name_of
from pipeline.orchestration.plan import Plan
from pipeline.orchestration.project import PIPELINE
from pipeline.orchestration.project_config import TrainingConfig
from pipeline.orchestration.runs.ending import end_run
from pipeline.orchestration.runs.failure import RunFailure, StepFailed
from pipeline.orchestration.runs.run import begin_run
from pipeline.orchestration.snapshots import take
from pipeline.orchestration.steps import data, judging, smoke, step
from pipeline.orchestration.steps.judging import scores_of_version, sheets_of
from pipeline.orchestration.steps.publishing import finish_roll_back
from savedmodels.repository.publisher import Publisher, publisher_of
from savedmodels.repository.servers import Watchers
from savedmodels.repository.versions import About
from tests.pipeline.orchestration.clusters import Cluster
from tests.pipeline.orchestration.projects import (
    GATED,
    TINY,
    change,
    let_commands,
    make_project,
    put_pictures,
)


def test_sheets_are_the_newest_there_are(tmp_path: Path, evaluated) -> None:
    plan = make_plan(tmp_path)
    project = plan.project
    assert sheets_of(plan) == []
    plan.run.samples.mkdir(parents=True)
    for name in ("images-000000032.png", "images-000000064.png", "images-000000064.txt"):
        (plan.run.samples / name).touch()
    assert sheets_of(plan) == [plan.run.samples / "images-000000064.png"]
    checked = plan.check_folder("")
    checked.mkdir(parents=True)
    (checked / "report.json").touch()
    assert sheets_of(plan)[1:] == [checked / "contact-sheet.png"]
    scores = evaluated(64)
    write_scores(plan.run, scores)
    folder = folder_of(plan.run, scores)
    for name in ("worst.png", "samples.png", "report.html"):
        (folder / name).touch()
    assert len(sheets_of(plan)) == 2
    plan.write_note("evaluated", folder=str(folder.relative_to(project.path)))
    assert sheets_of(plan) == [
        folder / "samples.png", folder / "worst.png", checked / "contact-sheet.png",
    ]  # fmt: skip


def make_plan(folder: Path, **changes: Any) -> Plan:
    put_pictures(folder / "incoming", 0, 3)
    project = make_project(folder, **changes)
    return Plan(project, take(project))


def promoted_plan(tmp_path: Path, run_with: Any, evaluated: Any, **changes: Any) -> Plan:
    """A plan of new pictures, and version 1 that an earlier one has published."""
    put_pictures(tmp_path / "incoming", 0, 3)
    project = make_project(tmp_path, **changes)
    earlier = Plan(project, take(project))
    run_with(earlier.run.path, evaluated(64), overrides=TINY)
    published = {"version": 1, "destination": earlier.destination}
    earlier.write_note(
        "published", **published, run=str(earlier.run.path.relative_to(project.path))
    )
    put_pictures(tmp_path / "incoming", 3, 5)
    return Plan(project, take(project))


def measured(plan: Plan, run_with: Any, scores: Evaluation) -> Plan:
    """The plan, of which the run has these scores."""
    run_with(plan.run.path, scores, overrides=TINY)
    folder = folder_of(plan.run, scores)
    plan.write_note("evaluated", folder=str(folder.relative_to(plan.project.path)))
    return plan


class Commands:
    """Takes the place of commands: it notes them, and does what a test says."""

    def __init__(self, then: Callable[[list[str]], None] = lambda words: None) -> None:
        self.asked: list[list[str]] = []
        self._then = then

    def __call__(self, words: Sequence[str], **_: Any) -> str:
        self.asked.append(list(words))
        self._then(list(words))
        return ""


def test_the_promoted_model_is_measured_on_the_new_pictures_where_the_gate_compares(
    tmp_path: Path, run_with: Any, evaluated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = {"max_fid_increase_over_promoted": 0.1}
    plan = promoted_plan(tmp_path, run_with, evaluated, overrides=GATED, gate=gate)
    here = evaluated(64, run="as measured here")

    def write(words: list[str]) -> None:
        if "--elsewhere" in words:
            write_evaluation(Path(words[words.index("--elsewhere") + 1]), here)
        else:
            write_scores(plan.run, evaluated(64))

    asked = Commands(write)
    monkeypatch.setattr(step, "growgan", asked)
    for _ in range(2):
        steps.evaluation(plan, lambda _: None, 1)
    own, promoted = asked.asked
    assert own[:2] == ["evaluate", str(plan.run.path)]
    assert promoted[0] == "evaluate"
    assert promoted[1] != own[1]
    assert f"data.source={plan.records}" in promoted
    assert scores_of_version(plan, 1) == here


def test_without_such_a_rule_nothing_more_is_measured(
    tmp_path: Path, run_with: Any, evaluated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = promoted_plan(tmp_path, run_with, evaluated)
    write_scores(plan.run, evaluated(64))
    asked = Commands()
    monkeypatch.setattr(step, "growgan", asked)
    monkeypatch.setattr(judging, "scores_of_version", lambda plan, version: None)
    steps.evaluation(plan, lambda _: None, 1)
    assert [words[:2] for words in asked.asked] == [["evaluate", str(plan.run.path)]]


def test_a_model_that_no_rule_judges_passes_and_it_is_said_why(
    tmp_path: Path, run_with: Any, evaluated: Any
) -> None:
    plan = measured(promoted_plan(tmp_path, run_with, evaluated), run_with, evaluated(64))
    done = steps.gate(plan, lambda _: None, None)
    said = "pipeline.yaml has no `gate`: a model is promoted whatever its scores are"
    assert (done.note, done.facts["verdict"], done.new) == (said, said, True)


def test_a_gate_that_was_removed_holds_up_nothing(
    tmp_path: Path, run_with: Any, evaluated: Any
) -> None:
    plan = promoted_plan(tmp_path, run_with, evaluated, overrides=GATED, gate={"max_fid": 0.1})
    measured(plan, run_with, evaluated(64))
    with pytest.raises(StepFailed):
        steps.gate(plan, lambda _: None, None)
    refused = about(plan.run, 64).gate
    assert refused is not None
    assert not refused.passed

    without = Plan(change(plan.project, gate=None), plan.snapshot)
    assert steps.gate(without, lambda _: None, None).note
    assert about(plan.run, 64).gate is None


def test_a_promoted_model_that_cannot_be_measured_again_is_named(
    tmp_path: Path, run_with: Any, evaluated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = {"max_fid_increase_over_promoted": 0.0}
    plan = promoted_plan(tmp_path, run_with, evaluated, overrides=GATED, gate=gate)
    measured(plan, run_with, evaluated(64))
    old = evaluated(64, data_hash="0ld1" * 16)
    monkeypatch.setattr(judging, "scores_of_version", lambda plan, version: old)
    with pytest.raises(StepFailed, match="as its run is gone from") as caught:
        steps.gate(plan, lambda _: None, 1)
    assert "Received: other data" in str(caught.value.failure.reason)


def test_a_gate_that_does_not_compare_says_nothing_of_the_promoted_model(
    tmp_path: Path, run_with: Any, evaluated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = promoted_plan(tmp_path, run_with, evaluated, overrides=GATED, gate={"max_fid": 0.1})
    measured(plan, run_with, evaluated(64))
    old = evaluated(64, data_hash="0ld1" * 16)
    monkeypatch.setattr(judging, "scores_of_version", lambda plan, version: old)
    with pytest.raises(StepFailed) as caught:
        steps.gate(plan, lambda _: None, 1)
    assert "promoted model" not in str(caught.value.failure.reason)


def test_a_promoted_model_is_not_compared_with_itself(
    tmp_path: Path, run_with: Any, evaluated: Any
) -> None:
    gate = {"max_fid_increase_over_promoted": 0.0}
    plan = promoted_plan(tmp_path, run_with, evaluated, overrides=GATED, gate=gate)
    run_with(plan.run.path, evaluated(64), overrides=TINY)
    for version, run in (
        (1, "runs/another"),
        (2, str(plan.run.path.relative_to(plan.project.path))),
    ):
        plan.write_note("published", version=version, destination=plan.destination, run=run)
    write_evaluation(plan.scores_folder / f"{plan.destination}-1.json", evaluated(64))
    write_evaluation(plan.scores_folder / f"{plan.destination}-2.json", evaluated(64))
    assert scores_of_version(plan, 1) is not None
    assert scores_of_version(plan, 2) is None


def test_a_first_model_has_nothing_to_be_compared_with(
    tmp_path: Path, run_with: Any, evaluated: Any
) -> None:
    gate = {"max_fid_increase_over_promoted": 0.1}
    plan = promoted_plan(tmp_path, run_with, evaluated, overrides=GATED, gate=gate)
    measured(plan, run_with, evaluated(64))
    done = steps.gate(plan, lambda _: None, None)
    assert done.note.startswith(
        "nothing else is promoted yet, and `gate` has no rule but max_fid_inc"
    )


@pytest.mark.parametrize(("channels", "refused"), [(None, True), (1, False), (3, False)])
def test_colour_does_not_turn_grey_because_a_preset_is_grey(
    tmp_path: Path, channels: int | None, refused: bool
) -> None:
    others = tuple(each for each in TINY if not each.startswith("data.channels"))
    chosen = () if channels is None else (f"data.channels={channels}",)
    project = make_project(tmp_path, overrides=(*others, *chosen))
    for number in range(3):
        levels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        PIL.Image.fromarray(levels).save(tmp_path / "incoming" / f"{number}.png")
    plan = Plan(project, take(project))
    checked = plan.check_folder("")
    write_check_report(checked, survey(plan.snapshot.source, workers=1))
    (checked / data.SHEET).touch()
    if refused:
        with pytest.raises(StepFailed, match="are in colour, and quickstart is for grey ones: add"):
            steps.checked_data(plan, lambda _: None, None)
    else:
        assert not steps.checked_data(plan, lambda _: None, None).new


def test_a_broken_contract_keeps_no_word_of_corrupt_pictures_back(tmp_path: Path) -> None:
    put_pictures(tmp_path / "incoming", 0, 3)
    (tmp_path / "incoming" / "torn.png").write_bytes(b"no picture")
    project = make_project(tmp_path, contract="contract.yaml")
    (project.path / "contract.yaml").write_text("least_pictures: 9\n")
    plan = Plan(project, take(project))
    checked = plan.check_folder(project.contract_text)
    found = survey(plan.snapshot.source, workers=1)
    write_check_report(checked, found.model_copy(update={"broken_rules": ("so few",)}))
    (checked / data.SHEET).touch()
    with pytest.raises(StepFailed, match=r"contract\.yaml: so few; corrupt are torn\.png \("):
        steps.checked_data(plan, lambda _: None, None)


def test_the_first_snapshot_of_its_content_is_new(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    project = plan.project
    assert steps.source_snapshot(plan, lambda _: None).new
    failed = begin_run(project, "r", snapshot=plan.snapshot.key, trigger="manual")
    end_run(failed, RunFailure(reason="so"))
    assert not steps.source_snapshot(plan, lambda _: None).new


def test_a_label_that_has_moved_meanwhile_is_left_alone(
    tmp_path: Path, savedmodel: Callable[..., Path]
) -> None:
    plan = make_plan(tmp_path)
    project = plan.project
    plan.run.path.mkdir(parents=True)
    settings = plan.config.model_dump(mode="json")
    (plan.run.path / "config.yaml").write_text(yaml.safe_dump(settings))
    others = [savedmodel(tmp_path / name, weights=name) for name in ("one", "two")]
    with publisher_of(project.repository, "digits") as publisher:
        for other in others:
            version = publisher.publish(other, About()).version
            publisher.promote("stable", version, project.watchers)
    savedmodel(plan.run.savedmodels / "8x8" / "64", weights="new", images_seen=64)
    with pytest.raises(StepFailed, match="Received: version 2") as caught:
        steps.published_version(plan, lambda _: None, 1)
    assert not caught.value.failure.may_pass
    assert project.repository.label_state("digits").labels == {"stable": 2}
    done = steps.published_version(plan, lambda _: None, 2)
    assert done.facts["version"] == 3
    assert project.repository.label_state("digits").labels == {"stable": 3}
    # Repeated after a kill, it is done; once the run has ended, a later choice stays.
    assert steps.published_version(plan, lambda _: None, 2).facts["version"] == 3
    plan.write_note("ended", run="r", verdict="promoted", reason="so", final=True)
    with publisher_of(project.repository, "digits") as publisher:
        publisher.roll_back("stable", project.watchers)
    assert not steps.published_version(plan, lambda _: None, 2).new
    assert project.repository.label_state("digits").labels == {"stable": 2}


@pytest.fixture
def promoted(tmp_path: Path, savedmodel: Callable[..., Path]) -> Plan:
    """A plan whose version 2 was promoted after version 1, and is to be tested."""
    plan = make_plan(tmp_path)
    project = plan.project
    with publisher_of(project.repository, "digits") as publisher:
        for name in ("one", "two"):
            version = publisher.publish(savedmodel(tmp_path / name, weights=name), About()).version
            publisher.promote("stable", version, project.watchers)
    plan.write_note("published", version=2, content_hash="c", run="runs/r")
    return plan


def let_own_server_answer(monkeypatch: pytest.MonkeyPatch, faults: Callable[..., str]) -> None:
    """Take a server for one that has these faults, without one."""

    @contextmanager
    def server(repository: Path, log: Path) -> Iterator[str]:
        yield "http://127.0.0.1:9"

    monkeypatch.setattr(smoke, "own_server", server)
    monkeypatch.setattr(smoke, "find_fault", faults)


def test_a_version_that_does_not_answer_is_rolled_back(
    promoted: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, project = promoted, promoted.project
    let_own_server_answer(monkeypatch, lambda *_: "it answers 500")
    with pytest.raises(StepFailed, match="it answers 500; `stable` is back at version 1") as caught:
        steps.smoke_test(plan, lambda _: None)
    assert (caught.value.failure.ending, caught.value.failure.may_pass) == ("rolled back", False)
    assert project.repository.label_state("digits").labels == {"stable": 1}


def test_what_cannot_go_back_is_not_told_as_rolled_back(
    promoted: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(promoted.project.repository.path / "digits" / "1")
    let_own_server_answer(monkeypatch, lambda *_: "it answers 500")
    with pytest.raises(StepFailed, match="it answers 500; `stable` stays: ") as caught:
        steps.smoke_test(promoted, lambda _: None)
    assert (caught.value.failure.ending, caught.value.failure.may_pass) == ("failed", False)
    assert promoted.project.repository.label_state("digits").labels == {"stable": 2}


@pytest.mark.parametrize(
    "error", [StepFailed("a server must serve"), OSError("broken"), RuntimeError("unforeseen")]
)
def test_a_version_that_cannot_be_tested_is_rolled_back(
    promoted: Plan, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    @contextmanager
    def server(repository: Path, log: Path) -> Iterator[str]:
        raise error
        yield

    monkeypatch.setattr(smoke, "own_server", server)
    with pytest.raises(StepFailed, match="; `stable` is back at version 1") as caught:
        steps.smoke_test(promoted, lambda _: None)
    assert str(error) in caught.value.failure.reason
    assert caught.value.failure.ending == "rolled back"
    assert promoted.project.repository.label_state("digits").labels == {"stable": 1}


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_test_does_not_undo_a_choice_that_was_made_meanwhile(
    promoted: Plan, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    project = promoted.project

    def choose(*_: Any) -> str:
        with publisher_of(project.repository, "digits") as publisher:
            publisher.promote("stable", 1, project.watchers)
        return "it answers 500"

    let_own_server_answer(monkeypatch, choose)
    if when == "before":
        choose()
    with pytest.raises(StepFailed) as caught:
        steps.smoke_test(promoted, lambda _: None)
    assert (
        caught.value.failure.reason
        == {
            "before": "`stable` must serve version 2 to be tested; a choice that was made "
            "meanwhile stays. Received: version 1",
            "meanwhile": "it answers 500; `stable` was moved to version 1 meanwhile, and stays",
        }[when]
    )
    assert project.repository.label_state("digits").labels == {"stable": 1}
    assert promoted.read_note("tested") is None


class Watched:
    """A plan whose promoted version two servers have loaded; one may be away."""

    def __init__(
        self, plan: Plan, urls: Sequence[str], servers: Sequence[Any], monkeypatch: Any
    ) -> None:
        config = plan.project.config
        repository = config.repository.model_copy(
            update={"servers": tuple(urls), "wait_seconds": 0.1}
        )
        config = config.model_copy(update={"repository": repository})
        self.plan = Plan(replace(plan.project, config=config), plan.snapshot)
        self.project = self.plan.project
        self.urls, self._servers = urls, servers
        for server in servers:
            server.answer = self._answer
        monkeypatch.setattr(smoke, "find_fault", self._faults)

    def away(self, *numbers: int) -> None:
        for number, server in enumerate(self._servers):
            server.away = number in numbers

    def _faults(self, url: str, *_: Any) -> str | None:
        away = self._servers[self.urls.index(url)].away
        return f"{url} must answer" if away else None

    def _answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Answer as a server that has loaded at once what the configuration lists."""
        standing = self.project.repository.label_state("digits")
        if "/versions/" in path:
            loaded = int(path.rpartition("/")[2]) in standing.loaded
            state = "AVAILABLE" if loaded else "END"
            return 200, {"model_version_status": [{"state": state, "status": {}}]}
        return 200, {"model_spec": {"version": str(standing.labels["stable"])}}


@pytest.fixture
def watched(
    promoted: Plan, watching: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Watched]:
    both = [watching.WatchingServer(promoted.project.repository.models_config) for _ in range(2)]
    one, two = (server.listening(polling=False) for server in both)
    with one as first, two as second:
        yield Watched(promoted, (first, second), both, monkeypatch)


def test_a_server_that_is_away_keeps_no_other_on_a_version_that_failed(watched: Watched) -> None:
    watched.away(1)
    with pytest.raises(StepFailed) as caught:
        steps.smoke_test(watched.plan, print)
    assert (
        caught.value.failure.reason
        == f"{watched.urls[1]} must answer; `stable` is back at version 1"
    )
    assert (caught.value.failure.ending, caught.value.failure.may_pass) == ("rolled back", False)
    standing = watched.project.repository.label_state("digits")
    assert (standing.labels, standing.pending) == ({"stable": 1}, {})


def test_a_roll_back_that_no_server_can_follow_is_finished_later(watched: Watched) -> None:
    plan, project = watched.plan, watched.project
    assert finish_roll_back(project) is None
    watched.away(0, 1)
    for _ in range(2):  # Tried again, it is not tested anew.
        with pytest.raises(StepFailed, match="`stable` goes back to version 1 later") as caught:
            steps.smoke_test(plan, print)
        assert (caught.value.failure.ending, caught.value.failure.may_pass) == ("failed", True)
        assert finish_roll_back(project) is None
        assert project.repository.label_state("digits").labels == {"stable": 2}
    watched.away(1)
    with publisher_of(project.repository, "digits"):
        assert finish_roll_back(project) is None  # Nor does it wait for another publisher.
    assert finish_roll_back(project) == 1
    standing = project.repository.label_state("digits")
    assert (standing.labels, standing.pending) == ({"stable": 1}, {})
    assert finish_roll_back(project) is None


def test_a_kill_after_the_roll_back_hides_nothing(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = watched.plan
    watched.away(1)
    roll_back = Publisher.roll_back

    def killed(publisher: Publisher, label: str, watchers: Watchers) -> Never:
        roll_back(publisher, label, watchers)
        raise KeyboardInterrupt

    with monkeypatch.context() as until_killed:
        until_killed.setattr(Publisher, "roll_back", killed)
        with pytest.raises(KeyboardInterrupt):
            steps.smoke_test(plan, print)
    assert plan.project.repository.label_state("digits").labels == {"stable": 1}
    with pytest.raises(StepFailed) as caught:
        steps.smoke_test(plan, print)
    assert caught.value.failure.ending == "rolled back"
    assert (
        caught.value.failure.reason == f"{watched.urls[1]} must answer; `stable` serves version 1"
    )


def test_checks_tell_of_shifts_and_of_scores_that_are_worse(evaluated: Any) -> None:
    def survey(moved: Any) -> Any:
        return SimpleNamespace(shift=moved)

    usual = SimpleNamespace(
        features=0.1, features_by_chance=0.1, largest_colour=0.0, class_shares=0.0
    )
    assert data.shift_check(survey(None)).passed
    assert data.shift_check(survey(usual)).passed
    for name in ("features", "largest_colour", "class_shares"):
        moved = SimpleNamespace(**{**vars(usual), name: 50.0})
        check = data.shift_check(survey(moved))
        assert not check.passed
        assert "50" in check.reason
    before = evaluated(64, scores={"fid": 10.0, "recall": 0.5})
    assert judging.regression_check(before, None).passed
    for fid, recall, passed in ((10.4, 0.48, True), (10.6, 0.5, False), (10.0, 0.47, False)):
        now = evaluated(64, scores={"fid": fid, "recall": recall})
        check = judging.regression_check(now, before)
        assert check.passed is passed
        assert check.reason.endswith("of 2 scores that compare")


def test_a_model_is_trained_to_its_end_and_alarms_are_told(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    checkpoints = plan.run.path / "checkpoints"
    (checkpoints / "images-000000032").mkdir(parents=True)
    with pytest.raises(StepFailed, match=r"64 images\. Received: .*, with a checkpoint at 32"):
        steps.trained_model(plan, print)
    (checkpoints / "images-000000064").mkdir()
    assert steps.trained_model(plan, print).checks["alarms"].passed
    plan.run.metrics.write_text('{"alarm": "collapse"}\n{"alarm": "collapse"}\n')
    check = steps.trained_model(plan, print).checks["alarms"]
    assert (check.passed, check.reason) == (False, "alarms while it trained: collapse")


def test_what_was_prepared_without_corrupt_pictures_is_refused_where_there_may_be_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(tmp_path, overrides=(*TINY, "data.on_corrupt=skip"))
    project = plan.project
    plan.records.mkdir(parents=True)
    manifest = {"data_hash": "d", "skipped": ["corrupt.png"], "resolutions": [4, 8]}
    (plan.records / "manifest.json").write_text(json.dumps(manifest))
    refuse = Commands()
    monkeypatch.setattr(step, "growgan", refuse)
    steps.records(plan, lambda _: None)
    assert refuse.asked == []
    strict = Plan(change(project, overrides=[*TINY]), plan.snapshot)
    steps.records(strict, lambda _: None)
    [words] = refuse.asked
    assert words[:4] == ["data", "prepare", plan.snapshot.source, str(plan.records)]
    config = load(words[words.index("--config") + 1])
    assert (config.data.on_corrupt, config) == ("fail", strict.config)


@pytest.mark.parametrize(
    ("training", "before", "after"),
    [
        ({}, [], []),
        ({"workers": 2}, [], ["--workers", "2"]),
        (
            {"workers": 2, "kubernetes": {"image": "i", "mount_path": "/"}},
            ["pipeline", "job", "{project}", "{job}", "--"],
            [],
        ),
    ],
    ids=["one process", "processes", "pods"],
)
def test_the_same_training_is_started_here_or_on_a_cluster(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    training: dict[str, Any],
    before: list[str],
    after: list[str],
) -> None:
    plan = make_plan(tmp_path, training=training)
    project = plan.project
    commands = Commands()
    monkeypatch.setattr(step, "growgan", commands)
    with pytest.raises(StepFailed, match="must leave a checkpoint"):
        steps.stage(plan, (8, 8), lambda _: None, None)
    places = {"project": project.path, "job": name_of(plan.run.path)}
    config, run = plan.folder / "config.yaml", plan.run.path
    assert commands.asked == [
        [
            *(word.format(**places) for word in before),
            *("train", "--config", str(config), "--out", str(run), "--resume", "auto"),
            *("--until-resolution", "8"),
            *after,
        ]
    ]


def test_a_job_is_made_of_the_settings_that_its_run_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_pictures(tmp_path / "incoming", 0, 3)
    training = {"kubernetes": {"image": "i", "mount_path": "/"}}
    project = make_project(tmp_path, training=training)
    key = take(project).key
    run = begin_run(project, "r", snapshot=key, trigger="manual")
    commands = Commands()
    monkeypatch.setattr(step, "growgan", commands)
    with pytest.raises(StepFailed, match="must leave a checkpoint"):
        steps.stage(run.plan, (8, 8), lambda _: None, None)
    kept = str(run.folder / PIPELINE)
    assert commands.asked[0][:5] == ["pipeline", "job", "--settings", kept, str(project.path)]


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_beam_writes_records_and_pods_train_on_them(tmp_path: Path) -> None:
    """The same command as by `training.workers`, for which `growgan train` has tests of its own."""
    put_pictures(tmp_path / "incoming", 0, 20)
    lines: list[str] = []
    with Cluster(tmp_path / "cluster") as cluster:
        training = {
            "workers": 2,
            "beam": "--runner=DirectRunner",
            "kubernetes": cluster.settings(cluster.growgan()),
        }
        overrides = (*TINY, "schedule.hold_images=32")
        project = make_project(tmp_path, overrides=overrides, training=training)
        plan = Plan(project, take(project))
        assert steps.records(plan, lines.append).new
        done = steps.stage(plan, (8, 8), lines.append, None)
        assert cluster.jobs() == []
    log = (project.logs / f"{plan.key}.log").read_text()
    assert "--beam --runner=DirectRunner" in log
    assert f"Job {name_of(plan.run.path)} is made, of 2 pods" in lines
    assert (done.new, done.facts["images seen"]) == (True, 32)
    assert done.files["SavedModel"].is_dir()
    assert [line for line in lines if "hold_8x8: 32/32 images" in line]


def words_of_stage(
    plan: Plan, promoted: int | None, monkeypatch: pytest.MonkeyPatch, say: Log = lambda _: None
) -> list[str]:
    """How a training is started; it fails as it does when a worker is lost."""
    reason = "a run ends with any of its workers. Received: SIGKILL in worker 1 of 2"
    folder = plan.project.path
    script = f"""printf '%s\\n' "$@" > words; echo 'growgan: {reason}' >&2; exit 69"""
    let_commands(monkeypatch, folder, script)
    with pytest.raises(StepFailed) as caught:
        steps.stage(plan, (8, 8), say, promoted)
    assert caught.value.failure.reason == f"growgan train ended with status 69: {reason}"
    assert caught.value.failure.may_pass
    module, name, *words = (folder / "words").read_text().splitlines()
    assert (module, name) == ("-m", "pipeline.cli")
    return words


def test_a_stage_that_loses_a_worker_is_tried_again_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(tmp_path, training={"workers": 2})
    first = words_of_stage(plan, None, monkeypatch)
    assert first[first.index("--workers") :][:2] == ["--workers", "2"]
    assert first[first.index("--resume") :][:2] == ["--resume", "auto"]
    assert words_of_stage(plan, None, monkeypatch) == first


def test_a_run_starts_from_the_promoted_weights_where_it_is_asked_to(
    tmp_path: Path, run_with: Any, evaluated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = promoted_plan(tmp_path, run_with, evaluated, training={"warm_start": True})
    [promoted] = plan.project.runs.iterdir()
    words = words_of_stage(plan, 1, monkeypatch)
    assert words[words.index("--from") + 1] == str(promoted)
    assert "--from" not in words_of_stage(plan, None, monkeypatch)
    said: list[str] = []
    assert "--from" not in words_of_stage(plan, 7, monkeypatch, said.append)
    assert said == ["the run behind version 7 is not in this project: no weights to start from"]
    cold = plan.project.config.model_copy(update={"training": TrainingConfig()})
    cold_plan = replace(plan, project=replace(plan.project, config=cold))
    assert "--from" not in words_of_stage(cold_plan, 1, monkeypatch)
