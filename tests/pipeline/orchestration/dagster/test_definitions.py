"""A project as Dagster sees it: steps in order, and what starts a run, once for a content."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
import pytest
from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    Definitions,
    RunRequest,
    SkipReason,
    build_resources,
    build_run_status_sensor_context,
    build_schedule_context,
    build_sensor_context,
)

from pipeline.errors import UserError
from pipeline.orchestration import steps
from pipeline.orchestration.dagster.dagster_runs import trigger_of
from pipeline.orchestration.dagster.definitions import JOB, definitions_of
from pipeline.orchestration.dagster.foreground import SILENT
from pipeline.orchestration.dagster.instance import environment_of, instance_of
from pipeline.orchestration.dagster.metadata import metadata_of
from pipeline.orchestration.dagster.one_run import alone_in
from pipeline.orchestration.dagster.recovery import (
    PROCESS_TAG,
    REASON,
    endings_of,
    fail_killed_foreground_runs,
    fail_orphaned_runs,
    this_process,
)
from pipeline.orchestration.dagster.triggers import busy_reason, request_for
from pipeline.orchestration.plan import Plan
from pipeline.orchestration.project import Project, open_project
from pipeline.orchestration.runs.ending import end_run
from pipeline.orchestration.runs.failure import RunFailure, StepFailed
from pipeline.orchestration.runs.outcome import Outcome, history_of
from pipeline.orchestration.runs.run import RunState, begin_run, write_state
from pipeline.orchestration.runs.status import RunInProgress, read_status
from pipeline.orchestration.snapshots import take
from pipeline.orchestration.steps.step import STEPS_AFTER_STAGES, STEPS_BEFORE_STAGES, step_names
from savedmodels.locks import hold
from tests.pipeline.orchestration.projects import (
    CHECKS,
    DONE,
    LONGEST,
    NO_COMPUTE_LOGS,
    TINY,
    change,
    make_project,
    put_pictures,
)

GROWING = ("schedule.resolution=16", "data.channels=1")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    put_pictures(tmp_path / "incoming", 0, 4)
    return make_project(
        tmp_path,
        schedule={
            "cron": "0 2 * * *",
            "new_data": {"least": 2, "quiet_seconds": 0, "every_seconds": 1},
        },
    )


@pytest.fixture
def instance(tmp_path: Path, new_databases: Callable[[Path], None]) -> Iterator[DagsterInstance]:
    folder = tmp_path / "dagster"
    new_databases(folder)
    settings = {"telemetry": {"enabled": False}, "compute_logs": NO_COMPUTE_LOGS}
    with DagsterInstance.local_temp(str(folder), overrides=settings) as made:
        yield made


def test_steps_follow_each_other_and_stages_the_schedule(tmp_path: Path) -> None:
    project = make_project(tmp_path, overrides=GROWING)
    definitions = definitions_of(project)
    graph = definitions.resolve_asset_graph()
    expected = step_names(((4, 4), (8, 8), (16, 16)))
    assert [key.to_user_string() for key in graph.toposorted_asset_keys] == list(expected)
    for before, after in itertools.pairwise(expected):
        parents = graph.get(next(k for k in graph.get_all_asset_keys() if k.path[-1] == after))
        assert before in {key.path[-1] for key in parents.parent_keys}
    checks = {key.name for key in graph.asset_check_keys}
    assert checks == {*CHECKS}


def ask(definitions: Definitions, instance: DagsterInstance, cursor: str | None) -> Any:
    sensor = definitions.resolve_sensor_def("by_new_data")
    context = build_sensor_context(instance=instance, cursor=cursor)
    return sensor(context)


def test_new_pictures_ask_for_a_run_once(
    project: Project, instance: DagsterInstance, tmp_path: Path
) -> None:
    definitions = definitions_of(project)
    first = ask(definitions, instance, None)
    [request] = first.run_requests
    key = take(project).key
    assert request.partition_key == key
    assert request.tags["growgan/model"] == "digits"
    assert instance.get_dynamic_partitions("snapshots") == [key]
    # Under way: nothing more is asked for.
    with_tags = {"dagster/partition": key}
    instance.create_run_for_job(
        definitions.resolve_job_def(JOB), tags=with_tags, status=DagsterRunStatus.STARTED
    )
    again = ask(definitions, instance, first.cursor)
    assert not again.run_requests
    assert "of the same pictures is under way" in again.skip_reason.skip_message
    [run] = instance.get_runs()
    instance.delete_run(run.run_id)
    # Ended, however it was: nothing is asked for any more.
    plan = Plan(project, take(project))
    for verdict, final in (("gate failed", True), ("failed", False)):
        plan.write_note("ended", run="r", verdict=verdict, reason="so", final=final)
        done = ask(definitions, instance, first.cursor)
        assert f"ended with {verdict}" in done.skip_reason.skip_message


def test_pictures_are_waited_for_until_nothing_changes(
    tmp_path: Path, instance: DagsterInstance
) -> None:
    put_pictures(tmp_path / "incoming", 0, 1)
    rules = {"new_data": {"least": 1, "quiet_seconds": 100, "every_seconds": 1}}
    definitions = definitions_of(make_project(tmp_path, schedule=rules))
    first = ask(definitions, instance, None)
    assert "the sources changed" in first.skip_reason.skip_message
    known = json.loads(first.cursor)
    quiet = json.dumps({**known, "since": known["since"] - 101})
    put_pictures(tmp_path / "incoming", 1, 2)
    later = ask(definitions, instance, quiet)
    assert "the sources changed" in later.skip_reason.skip_message
    known = json.loads(later.cursor)
    assert time.time() - known["since"] < 50
    assert ask(definitions, instance, json.dumps({**known, "since": 0})).run_requests


def test_the_clock_asks_for_a_run_only_where_something_is_new(
    project: Project, instance: DagsterInstance
) -> None:
    schedule = definitions_of(project).resolve_schedule_def("by_clock")
    context = build_schedule_context(instance=instance)
    assert isinstance(schedule(context), RunRequest)
    noted: dict[str, Any] = {"run": "r", "verdict": "failed", "reason": "no room"}
    plan = Plan(project, take(project))
    plan.write_note("ended", final=False, **noted)
    assert isinstance(schedule(context), RunRequest)
    plan.write_note("ended", final=True, **noted)
    skipped = schedule(context)
    assert isinstance(skipped, SkipReason)
    assert "ended with failed" in str(skipped.skip_message)


def ended_with_failure(project: Project) -> None:
    plan = Plan(project, take(project))
    noted: dict[str, Any] = {"run": "r", "verdict": "failed", "reason": "so", "final": True}
    plan.write_note("ended", settings=plan.settings, **noted)


@pytest.mark.parametrize(
    "mended",
    [
        {"contract": "other.yaml"},
        {"repository": {"servers": ["http://127.0.0.1:8501"]}},
        {"overrides": [*TINY, "run.memory_gib=8"]},
        {"overrides": [*TINY, "alarms.collapse=stop"]},
        {"training": {"beam": "--runner=DirectRunner"}},
        {},
    ],
    ids=["contract", "servers", "memory", "alarms", "beam", "rules"],
)
def test_a_run_that_failed_is_asked_for_again_once_its_cause_may_be_mended(
    project: Project, instance: DagsterInstance, mended: dict[str, Any]
) -> None:
    change(project, contract="contract.yaml")
    (project.path / "contract.yaml").write_text("most_side: 4\n")
    definitions = definitions_of(open_project(project.path))
    clock = definitions.resolve_schedule_def("by_clock")
    ended_with_failure(open_project(project.path))
    assert ask(definitions, instance, None).skip_reason is not None
    assert isinstance(clock(build_schedule_context(instance=instance)), SkipReason)
    # What tells of runs and starts them decides nothing about how they end.
    change(project, port=3001, retries={"most": 2}, notifications={"seconds": 3})
    assert ask(definitions, instance, None).skip_reason is not None
    if mended:
        change(project, **mended)
    else:
        (project.path / "contract.yaml").write_text("most_side: 8\n")
    assert ask(definitions, instance, None).run_requests
    assert isinstance(clock(build_schedule_context(instance=instance)), RunRequest)


def test_a_version_that_was_promoted_stays_so_whatever_serves_it(
    project: Project, instance: DagsterInstance
) -> None:
    definitions = definitions_of(project)
    plan = Plan(project, take(project))
    noted: dict[str, Any] = {"run": "r", "verdict": "promoted", "reason": "so", "final": True}
    plan.write_note("ended", settings=plan.settings, **noted)
    change(project, repository={"servers": ["http://127.0.0.1:8501"]})
    assert "ended with promoted" in ask(definitions, instance, None).skip_reason.skip_message


def test_other_stages_than_dagster_has_loaded_wait_for_a_restart(
    project: Project, instance: DagsterInstance
) -> None:
    definitions = definitions_of(project)
    change(project, overrides=[*TINY, "schedule.resolution=16"])
    said = (
        "the stages of the schedule must be those that `growgan pipeline up` has started with, 8: "
        "start it again. Received: 8, 16"
    )
    clock = definitions.resolve_schedule_def("by_clock")
    assert ask(definitions, instance, None).skip_reason.skip_message == said
    assert str(clock(build_schedule_context(instance=instance)).skip_message) == said
    assert read_status(project).trigger_errors == {"by_clock": said, "by_new_data": said}
    assert ask(definitions_of(open_project(project.path)), instance, None).run_requests


def test_stages_in_a_file_of_the_project_are_those_that_dagster_has_loaded(
    project: Project, instance: DagsterInstance
) -> None:
    preset = project.path / "own.yaml"
    preset.write_text("schedule: {resolution: 8, hold_images: 64}\ndata: {channels: 1}\n")
    definitions = definitions_of(change(project, preset="own.yaml", overrides=[]))
    preset.write_text("schedule: {resolution: 16, hold_images: 64}\ndata: {channels: 1}\n")
    said = ask(definitions, instance, None).skip_reason.skip_message
    assert said.endswith("has started with, 4, 8: start it again. Received: 4, 8, 16")


def test_a_clock_that_is_set_back_keeps_nothing_waiting(
    project: Project, instance: DagsterInstance
) -> None:
    definitions = definitions_of(project)
    known = json.loads(ask(definitions, instance, None).cursor)
    ahead = json.dumps({**known, "since": time.time() + 3600})
    later = json.loads(ask(definitions, instance, ahead).cursor)
    assert later["since"] <= time.time()


def test_a_source_of_another_name_is_another_and_a_snapshot_may_be_removed(
    project: Project, instance: DagsterInstance
) -> None:
    definitions = definitions_of(project)
    change(project, sources=["digits"])
    first = ask(definitions, instance, None)
    change(project, sources=["glyphs:8x20"])
    second = ask(definitions, instance, first.cursor)
    keys = [answer.run_requests[0].partition_key for answer in (first, second)]
    assert keys[0] != keys[1] == take(open_project(project.path)).key
    shutil.rmtree(project.snapshots / keys[1])
    assert ask(definitions, instance, second.cursor).run_requests


def test_a_run_starts_once_what_the_last_one_failed_for_is_gone(
    project: Project, instance: DagsterInstance, tmp_path: Path
) -> None:
    definitions = definitions_of(project)
    first = ask(definitions, instance, None)
    key = first.run_requests[0].partition_key
    end_run(begin_run(project, "r", snapshot=key, trigger="manual"), RunFailure(reason="so"))
    same = ask(definitions, instance, first.cursor)
    assert same.skip_reason.skip_message.startswith("nothing new: run ")
    (tmp_path / "incoming" / "00003.png").unlink()
    [request] = ask(definitions, instance, same.cursor).run_requests
    assert request.partition_key != key


def test_pictures_that_are_too_few_are_not_taken(
    project: Project, instance: DagsterInstance, tmp_path: Path
) -> None:
    rules = {"least": 3, "quiet_seconds": 0, "every_seconds": 1}
    change(project, schedule={"new_data": rules})
    definitions = definitions_of(open_project(project.path))
    incoming = tmp_path / "incoming"
    for path in sorted(incoming.iterdir())[2:]:
        path.unlink()
    few = ask(definitions, instance, None)
    assert few.skip_reason.skip_message == "at most 2 pictures are new, not 3"
    assert not project.snapshots.exists()
    put_pictures(incoming, 2, 4)
    first = ask(definitions, instance, few.cursor)
    assert first.run_requests
    key = first.run_requests[0].partition_key
    end_run(begin_run(project, "r", snapshot=key, trigger="manual"), RunFailure(reason="so"))
    put_pictures(incoming, 4, 6)
    few = ask(definitions, instance, first.cursor)
    assert few.skip_reason.skip_message == "at most 2 pictures are new, not 3"
    put_pictures(incoming, 6, 7)
    assert ask(definitions, instance, few.cursor).run_requests
    assert len(list(project.snapshots.glob("*/snapshot.json"))) == 2
    # None at all is no matter of how many.
    for path in incoming.iterdir():
        path.unlink()
    none = ask(definitions, instance, first.cursor)
    assert none.skip_reason.skip_message.startswith("`sources` must hold pictures (")


@pytest.mark.parametrize(
    "wrong", [{"cron": "99 2 * * *"}, {"cron": "0 2 * * *", "timezone": "Europe/Berlinn"}]
)
def test_times_that_there_are_not_are_one_line(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(UserError, match=f"Received: {re.escape(wrong['cron'])} and ") as caught:
        definitions_of(make_project(tmp_path, schedule=wrong))
    assert "\n" not in str(caught.value)


def test_what_is_to_be_skipped_when_busy_is_skipped(
    tmp_path: Path, instance: DagsterInstance
) -> None:
    put_pictures(tmp_path / "incoming", 0, 1)
    rules = {"cron": "0 2 * * *", "when_busy": "skip", "new_data": None}
    definitions = definitions_of(make_project(tmp_path, schedule=rules))
    tags = {"growgan/model": "digits"}
    instance.create_run_for_job(
        definitions.resolve_job_def(JOB), tags=tags, status=DagsterRunStatus.STARTED
    )
    schedule = definitions.resolve_schedule_def("by_clock")
    skipped = schedule(build_schedule_context(instance=instance))
    assert "another run of digits is under way" in str(skipped.skip_message)


def test_a_back_fill_does_each_snapshot_and_a_step_again_for_which_there_was_no_room(
    tmp_path: Path, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_pictures(tmp_path / "incoming", 0, 2)
    project = make_project(tmp_path, retries={"most": 1, "first_seconds": 0.1})
    keys = [take(project).key]
    put_pictures(tmp_path / "incoming", 2, 5)
    keys.append(take(project).key)
    instance.add_dynamic_partitions("snapshots", keys)
    job = definitions_of(project).resolve_job_def(JOB)
    no_room = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    full = [True]

    def records(*_: Any) -> steps.Done:
        if full:
            raise no_room
        return DONE

    def write(folder: Path, begun: RunState) -> None:
        if begun.steps and begun.steps[-1].state == "failed":
            full.clear()  # From now on there is room; this could not be written down.
            raise no_room
        write_state(folder, begun)

    for name in (*STEPS_BEFORE_STAGES, *STEPS_AFTER_STAGES, "stage"):
        monkeypatch.setattr(steps, name, lambda *_: DONE)
    monkeypatch.setattr(steps, "records", records)
    monkeypatch.setattr("pipeline.orchestration.runs.run.write_state", write)
    for key in keys:
        tags = {"dagster/backfill": "b"}
        assert job.execute_in_process(
            instance=instance, partition_key=key, tags=tags, run_config=SILENT
        ).success
    assert not full
    found = history_of(project.path)
    assert [(each.trigger, each.snapshot and each.snapshot.new) for each in found] == [
        ("back-fill", 2),
        ("back-fill", 3),
    ]


@pytest.mark.parametrize("wrong", [StepFailed("so"), KeyboardInterrupt()])
def test_a_run_that_asset_pages_start_ends_as_any(
    project: Project,
    instance: DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    wrong: BaseException,
) -> None:
    shown: list[RunInProgress | None] = []

    def records(*_: Any) -> steps.Done:
        shown.append(read_status(project).now)
        raise wrong

    told: list[Outcome] = []
    notify = "pipeline.orchestration.runs.ending.send_notifications"
    monkeypatch.setattr(notify, lambda _, outcome: told.append(outcome) or [])
    for name in (*STEPS_BEFORE_STAGES, *STEPS_AFTER_STAGES, "stage"):
        monkeypatch.setattr(steps, name, lambda *_: DONE)
    monkeypatch.setattr(steps, "records", records)
    key = take(project).key
    instance.add_dynamic_partitions("snapshots", [key])
    definitions = definitions_of(project)
    job = definitions.resolve_implicit_global_asset_job_def()
    assert job.name != JOB
    assert not job.execute_in_process(
        instance=instance, partition_key=key, run_config=SILENT, raise_on_error=False
    ).success
    [outcome] = history_of(project.path)
    ending = "failed" if isinstance(wrong, StepFailed) else "interrupted"
    assert (outcome.verdict, outcome.trigger) == (ending, "manual")
    assert [now and (now.run, now.step) for now in shown] == [(outcome.run, "records")]
    assert told == [outcome]
    assert Plan(project, take(project)).read_end() is not None

    # And where its process was killed.
    run = instance.create_run_for_job(
        job, status=DagsterRunStatus.STARTED, tags={"dagster/partition": key}
    )
    assert busy_reason(change(project, schedule={"when_busy": "skip"}), instance) is not None
    endings = definitions.resolve_sensor_def("endings")
    cursor = endings.evaluate_tick(build_sensor_context(instance=instance)).cursor
    instance.report_run_failed(run)
    endings.evaluate_tick(build_sensor_context(instance=instance, cursor=cursor))
    assert [each.reason for each in told[1:]] == [REASON]


def test_runs_whose_processes_are_gone_are_given_up(
    project: Project, monkeypatch: pytest.MonkeyPatch, new_databases: Callable[[Path], None]
) -> None:
    new_databases(project.dagster_home)
    for name in environment_of(project):
        monkeypatch.setenv(name, "")
    job = definitions_of(project).resolve_job_def(JOB)
    with instance_of(project) as instance:
        tags = {"dagster/partition": take(project).key}
        for status in (DagsterRunStatus.STARTED, DagsterRunStatus.NOT_STARTED):
            instance.create_run_for_job(job, status=status, tags=tags)
        with hold(project.run_lock):
            assert fail_orphaned_runs(project, instance) == []
            assert history_of(project.path) == []
        # Only runs of the daemon are started again.
        assert fail_orphaned_runs(project, instance) == []
        states = {run.status for run in instance.get_runs()}
        [outcome] = history_of(project.path)
    assert states == {DagsterRunStatus.FAILURE, DagsterRunStatus.NOT_STARTED}
    assert (outcome.verdict, outcome.reason) == ("failed", REASON)


def test_nobody_waits_for_a_run_by_hand_that_was_killed(
    project: Project, instance: DagsterInstance
) -> None:
    definitions = definitions_of(project)
    job = definitions.resolve_job_def(JOB)
    tags = {"dagster/partition": take(project).key, "growgan/model": "digits"}
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        born = psutil.Process(process.pid).create_time()
        process.kill()
    host, *_ = this_process().split()
    gone = f"{host} {process.pid} {born}"
    other_machine = f"not-{gone}"
    runs = {
        process: instance.create_run_for_job(
            job, status=DagsterRunStatus.STARTED, tags={**tags, PROCESS_TAG: process}
        ).run_id
        for process in (gone, other_machine, this_process())
    }
    fail_killed_foreground_runs(project, instance)
    failed = {run.run_id for run in instance.get_runs() if run.status is DagsterRunStatus.FAILURE}
    assert failed == {runs[gone]}
    [outcome] = history_of(project.path)
    assert outcome.run.endswith(runs[gone][:8])
    ended = Plan(project, take(project)).read_end()
    assert ended is not None
    assert not ended.final  # The clock may start it again.


def test_why_nothing_can_be_looked_at_is_kept_until_it_can(
    project: Project, instance: DagsterInstance, tmp_path: Path
) -> None:
    definitions = definitions_of(project)
    clock = definitions.resolve_schedule_def("by_clock")
    incoming = tmp_path / "incoming"
    incoming.rename(tmp_path / "away")
    said = f"`sources` must exist. Received: {incoming}"
    first = ask(definitions, instance, None)
    assert first.skip_reason.skip_message == said
    assert str(clock(build_schedule_context(instance=instance)).skip_message) == said
    assert read_status(project).trigger_errors == {"by_clock": said, "by_new_data": said}
    incoming.mkdir()
    empty = ask(definitions, instance, first.cursor)
    assert empty.skip_reason.skip_message.startswith("`sources` must hold pictures (")
    incoming.rmdir()
    (tmp_path / "away").rename(incoming)
    assert ask(definitions, instance, empty.cursor).run_requests
    assert read_status(project).trigger_errors.keys() == {"by_clock"}


def test_a_second_run_waits_for_its_turn(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    waits, entered = threading.Event(), threading.Event()

    def lock(file: Path, *, on_wait: Callable[[], None]) -> AbstractContextManager[None]:
        def tell() -> None:
            on_wait()
            waits.set()

        return hold(file, on_wait=tell)

    def run() -> None:
        with build_resources({"alone": alone_in(project)}):
            entered.set()

    monkeypatch.setattr("pipeline.orchestration.dagster.one_run.hold", lock)
    with hold(project.run_lock):
        second = threading.Thread(target=run)
        second.start()
        assert waits.wait(LONGEST)
        assert not entered.wait(0.5)
    second.join()
    assert entered.is_set()


def test_the_end_of_a_killed_run_is_told_before_another_is_asked_for(
    project: Project, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    definitions = definitions_of(project)
    job = definitions.resolve_job_def(JOB)
    plan = Plan(project, take(project))
    run = instance.create_run_for_job(
        job, status=DagsterRunStatus.STARTED, tags={"dagster/partition": plan.snapshot.key}
    )
    instance.report_run_failed(run)
    killed = instance.get_run_by_id(run.run_id)
    assert killed is not None
    # As of a run that the daemon has started.
    monkeypatch.setattr(DagsterRun, "remote_job_origin", "a daemon", raising=False)
    waits = request_for(plan, instance)
    assert isinstance(waits, SkipReason)
    event = instance.all_logs(run.run_id, of_type=DagsterEventType.RUN_FAILURE)[-1].dagster_event
    assert event is not None
    context = build_run_status_sensor_context(
        "endings", event, instance, killed
    ).for_run_failure()  # fmt: skip
    endings_of(project)(context)
    [outcome] = history_of(project.path)
    assert (outcome.verdict, outcome.reason) == ("failed", REASON)
    assert isinstance(request_for(plan, instance), RunRequest)


@pytest.mark.parametrize(
    ("tags", "trigger"),
    [
        ({}, "manual"),
        ({"dagster/schedule_name": "by_clock"}, "schedule"),
        ({"dagster/sensor_name": "by_new_data"}, "new data"),
        ({"dagster/backfill": "abc"}, "back-fill"),
    ],
)
def test_a_run_knows_what_it_was_started_by(tags: dict[str, str], trigger: str) -> None:
    assert trigger_of(tags) == trigger


def test_pictures_are_shown_as_pictures(tmp_path: Path) -> None:
    put_pictures(tmp_path, 0, 1)
    done = steps.Done(
        {"images seen": 3, "speed": float("nan")},
        new=True,
        pictures=(tmp_path / "00000.png", tmp_path / "gone.png"),
        files={"report": tmp_path / "report.html"},
    )
    shown = metadata_of(done)
    assert shown["00000"].md_str.startswith("![](data:image/png;base64,iVBOR")
    assert shown["report"].path == str(tmp_path / "report.html")
    assert (shown["images seen"], shown["speed"], shown["found done"]) == (3, "nan", False)
    assert "gone" not in shown
