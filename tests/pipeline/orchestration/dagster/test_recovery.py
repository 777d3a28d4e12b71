"""Runs that were stopped or lost: which of them go on, and that none keeps others waiting."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Never

import psutil
import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

from pipeline.orchestration import steps
from pipeline.orchestration.dagster import housekeeping
from pipeline.orchestration.dagster.definitions import JOB, definitions_of
from pipeline.orchestration.dagster.foreground import SILENT
from pipeline.orchestration.dagster.housekeeping import clean_up
from pipeline.orchestration.dagster.instance import (
    allow_another_restart,
    environment_of,
    instance_of,
)
from pipeline.orchestration.dagster.recovery import (
    PROCESS_TAG,
    REASON,
    fail_killed_foreground_runs,
    fail_orphaned_runs,
    this_process,
)
from pipeline.orchestration.plan import Ended, Plan
from pipeline.orchestration.project import Project
from pipeline.orchestration.runs.outcome import history_of
from pipeline.orchestration.snapshots import take
from pipeline.orchestration.steps.step import STEPS_AFTER_STAGES, STEPS_BEFORE_STAGES
from tests.pipeline.orchestration.projects import (
    DONE,
    make_project,
    put_pictures,
    without_compute_logs,
)

Begin = Callable[..., DagsterRun]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    put_pictures(tmp_path / "incoming", 0, 4)
    made = make_project(tmp_path, retries={"most": 1, "first_seconds": 0.1})
    for name in environment_of(made):
        monkeypatch.setenv(name, "")
    return made


@pytest.fixture
def instance(project: Project, new_databases: Callable[[Path], None]) -> Iterator[DagsterInstance]:
    new_databases(project.dagster_home)
    with instance_of(without_compute_logs(project)) as made:
        yield made


@pytest.fixture
def plan(project: Project) -> Plan:
    return Plan(project, take(project))


@pytest.fixture
def begin(instance: DagsterInstance, plan: Plan) -> Begin:
    """Make a run with these tags, which has started."""
    job = definitions_of(plan.project).resolve_job_def(JOB)

    def make(tags: dict[str, str], **given: Any) -> DagsterRun:
        tags = {"dagster/partition": plan.snapshot.key, **tags}
        given = {"status": DagsterRunStatus.STARTED, **given}
        return instance.create_run_for_job(job, tags=tags, **given)

    return make


def as_of_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on all runs are such as the daemon has started."""
    location = RegisteredCodeLocationOrigin("pipeline.orchestration.code_location")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), JOB)
    monkeypatch.setattr(DagsterRun, "remote_job_origin", origin, raising=False)


@pytest.fixture(scope="module")
def gone() -> str:
    """A process that has ended."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        born = psutil.Process(process.pid).create_time()
        process.kill()
    return f"{this_process().split()[0]} {process.pid} {born}"


def statuses(instance: DagsterInstance) -> list[DagsterRunStatus]:
    return [run.status for run in instance.get_runs()]


def test_a_run_is_started_again_after_any_number_of_restarts(
    project: Project, instance: DagsterInstance, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def repeat(run: DagsterRun) -> DagsterRun:
        """As Dagster does."""
        family = {"root_run_id": first.run_id, "parent_run_id": run.run_id}
        tags = {f"dagster/{name}": value for name, value in family.items()}
        return begin({**tags_of(run, "dagster/max_retries"), **tags}, **family)

    def tags_of(run: DagsterRun, *names: str) -> dict[str, str]:
        found = instance.get_run_by_id(run.run_id)
        assert found is not None
        return {name: found.tags[name] for name in names}

    as_of_the_daemon(monkeypatch)
    first = before = begin({})
    for _ in range(5):
        assert fail_orphaned_runs(project, instance) == [before.run_id[:8]]
        before = repeat(before)
    # Where its process alone is killed, it is again three times.
    for will in ("true", "true", "true", "false"):
        instance.report_run_failed(before)
        assert tags_of(before, "dagster/will_retry") == {"dagster/will_retry": will}
        before = repeat(before)


def test_where_dagster_starts_nothing_again_none_is_promised(
    project: Project, instance: DagsterInstance, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_of_the_daemon(monkeypatch)
    monkeypatch.setattr(type(instance), "run_retries_max_retries", 0)
    begin({})
    assert fail_orphaned_runs(project, instance) == []
    assert statuses(instance) == [DagsterRunStatus.FAILURE]


def test_a_run_by_hand_that_was_killed_before_it_began_is_given_up(
    project: Project, instance: DagsterInstance, begin: Begin, gone: str
) -> None:
    created = {"status": DagsterRunStatus.NOT_STARTED}
    begin({PROCESS_TAG: gone}, **created)
    begin({PROCESS_TAG: this_process()}, **created)
    begin({}, **created)  # Of the daemon, which is about to start it.
    fail_killed_foreground_runs(project, instance)
    failed = RunsFilter(statuses=[DagsterRunStatus.FAILURE])
    assert [run.tags[PROCESS_TAG] for run in instance.get_runs(failed)] == [gone]
    assert [outcome.reason for outcome in history_of(project.path)] == [REASON]


def test_a_lost_run_that_cannot_be_written_down_keeps_nothing_waiting(
    project: Project, instance: DagsterInstance, begin: Begin, gone: str
) -> None:
    begin({PROCESS_TAG: gone})
    begin({})
    shutil.rmtree(project.snapshots)
    fail_killed_foreground_runs(project, instance)
    assert {*statuses(instance)} == {DagsterRunStatus.FAILURE, DagsterRunStatus.STARTED}
    assert fail_orphaned_runs(project, instance) == []
    assert {*statuses(instance)} == {DagsterRunStatus.FAILURE}


def stop_in_records(
    monkeypatch: pytest.MonkeyPatch, plan: Plan, instance: DagsterInstance, then: Any = None
) -> Ended | None:
    """A run whose process is told to stop in the middle of a step; how it ended."""

    def stopped(*_: Any) -> Never:
        if then:
            then()
        raise KeyboardInterrupt

    for name in (*STEPS_BEFORE_STAGES, *STEPS_AFTER_STAGES, "stage"):
        monkeypatch.setattr(steps, name, lambda *_: DONE)
    monkeypatch.setattr(steps, "records", stopped)
    instance.add_dynamic_partitions("snapshots", [plan.snapshot.key])
    job = definitions_of(plan.project).resolve_job_def(JOB)
    job.execute_in_process(
        instance=instance,
        partition_key=plan.snapshot.key,
        run_config=SILENT,
        raise_on_error=False,
    )
    return plan.read_end()


def test_a_run_by_hand_that_was_told_to_stop_may_be_started_by_the_clock(
    instance: DagsterInstance, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = stop_in_records(monkeypatch, plan, instance)
    assert ended is not None
    assert (ended.verdict, ended.final) == ("interrupted", False)


def test_a_run_that_somebody_has_stopped_is_not_started_by_itself(
    instance: DagsterInstance, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel() -> None:
        as_of_the_daemon(monkeypatch)
        [run] = instance.get_runs()
        instance.report_run_canceling(run)

    ended = stop_in_records(monkeypatch, plan, instance, cancel)
    assert ended is not None
    assert (ended.verdict, ended.final) == ("interrupted", True)


def test_a_run_of_the_daemon_that_nobody_has_stopped_ends_as_if_killed(
    instance: DagsterInstance, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exit(BaseException):
        pass

    def end(status: int) -> Never:
        assert status == 128 + signal.SIGTERM
        [run] = instance.get_runs()
        # What Dagster finds when it is up again.
        assert run.status is DagsterRunStatus.STARTED
        assert run.tags["dagster/max_retries"] == "4"
        assert plan.read_end() is None
        exits.append(status)
        raise Exit

    exits: list[int] = []
    monkeypatch.setattr(os, "_exit", end)
    stop_in_records(monkeypatch, plan, instance, lambda: as_of_the_daemon(monkeypatch))
    assert exits


def test_an_end_that_could_not_be_written_down_is_later(
    project: Project,
    instance: DagsterInstance,
    plan: Plan,
    begin: Begin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost, retried = (begin({}) for _ in range(2))
    as_of_the_daemon(monkeypatch)
    instance.report_run_failed(lost)
    allow_another_restart(instance, retried)
    instance.report_run_failed(retried)
    instance.add_run_tags(lost.run_id, {"dagster/will_retry": "false"})
    assert [*clean_up(project, instance)] == []
    assert history_of(project.path) == []  # It is the sensor's turn first.
    monkeypatch.setattr(housekeeping, "RECORDING_SECONDS", -1.0)
    plan.write_note("tested", version=1)  # By an earlier run of the same.
    project.snapshots.rename(project.path / "away")
    [line] = clean_up(project, instance)
    assert line.startswith("the end of a run cannot be written down yet: ")
    (project.path / "away").rename(project.snapshots)
    for _ in range(2):
        assert [*clean_up(project, instance)] == []
        [outcome] = history_of(project.path)
        assert outcome.run.endswith(lost.run_id[:8])
        assert outcome.verdict == "failed"
