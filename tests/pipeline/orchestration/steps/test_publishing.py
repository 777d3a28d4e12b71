"""Steps that publish a version, test it, and go back if it fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Never

import pytest
import yaml

from pipeline.orchestration import steps
from pipeline.orchestration.plan import Plan
from pipeline.orchestration.runs.failure import StepFailed
from pipeline.orchestration.steps import smoke
from pipeline.orchestration.steps.publishing import finish_roll_back
from savedmodels.repository.publisher import Publisher, publisher_of
from savedmodels.repository.servers import Watchers
from savedmodels.repository.versions import About
from tests.pipeline.orchestration.projects import (
    make_plan,
)


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
