"""Recovery of runs whose processes are gone: fail them, and record their ends."""

# No `from __future__ import annotations`: Dagster reads the annotations of sensors as objects.
import os
import socket
from typing import Any

import psutil
from dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunFailureSensorContext,
    RunsFilter,
    SensorDefinition,
    SkipReason,
    run_failure_sensor,
)

from pipeline.exit_status import AGAIN
from pipeline.orchestration.dagster.dagster_runs import (
    LIVING,
    has_outcome,
    run_for,
    will_be_restarted,
)
from pipeline.orchestration.dagster.instance import allow_another_restart
from pipeline.orchestration.project import Project
from pipeline.orchestration.runs.ending import end_run
from pipeline.orchestration.runs.failure import RunFailure, failure_of
from savedmodels.locks import is_held

PROCESS_TAG = "growgan/process"
"""Tag of a run in the foreground: machine, number and birth of its process."""
REASON = "the process of the run was ended, or the machine, or its end could not be written down"


def this_process() -> str:
    """Return a name that no other process has, on other machines either."""
    # With its birth: the kernel gives the number of a process that has ended to another.
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time()}"


def fail_orphaned_runs(project: Project, instance: DagsterInstance) -> list[str]:
    """Fail runs whose processes are gone, and return the names of those that Dagster repeats."""
    if is_held(project.run_lock):  # Any run may be the one that holds it.
        return []
    again: list[str] = []
    # Dagster's daemon watches the processes that it has started only while it lives.
    for run in instance.get_runs(RunsFilter(statuses=LIVING)):
        if run.remote_job_origin is not None:
            allow_another_restart(instance, run)
        if _fail(project, instance, run):
            again.append(run.run_id[:8])
    return again


def fail_killed_foreground_runs(project: Project, instance: DagsterInstance) -> None:
    """Fail runs that were started by hand on this machine and then killed."""
    # Nobody else watches their processes, and other runs would wait for them for ever.
    statuses = [DagsterRunStatus.NOT_STARTED, *LIVING]
    for run in instance.get_runs(RunsFilter(statuses=statuses)):
        process = run.tags.get(PROCESS_TAG)
        if process is not None and _is_gone(process):
            _fail(project, instance, run)


def endings_of(project: Project) -> SensorDefinition:
    """Return the sensor that records the end of runs of any job whose processes were killed."""

    @run_failure_sensor(
        name="endings",
        minimum_interval_seconds=10,
        default_status=DefaultSensorStatus.RUNNING,
    )
    def endings(context: RunFailureSensorContext) -> Any:
        run = context.dagster_run
        if will_be_restarted(run) or has_outcome(project, run):
            return SkipReason("its end is recorded already, or it is tried again")
        message = context.failure_event.message or ""
        # Of a killed process Dagster knows only that the run ended outside of its control.
        known = message and "outside the execution context" not in message
        _end(project, run, message if known else REASON)
        return None

    return endings


def _fail(project: Project, instance: DagsterInstance, run: DagsterRun) -> bool:
    """Fail a run, and return whether Dagster starts it again."""
    reason = REASON
    if run.remote_job_origin is None:  # Sensors hear only of runs that the daemon has started.
        try:
            _end(project, run, REASON)
        except Exception as error:  # Of any kind: others would wait for this run for ever.
            reason += f", which cannot be written down: {failure_of(error).reason}"
    instance.report_run_failed(run, reason)
    failed = instance.get_run_by_id(run.run_id)  # Dagster tags it when it fails.
    return failed is not None and will_be_restarted(failed)


def _end(project: Project, run: DagsterRun, reason: str) -> None:
    failure = RunFailure(reason=reason, status=AGAIN, may_pass=True)
    end_run(run_for(project.path, run), failure)


def _is_gone(process: str) -> bool:
    host, number, born = process.split()
    if host != socket.gethostname():  # Another machine's processes cannot be seen from here.
        return False
    try:
        return psutil.Process(int(number)).create_time() != float(born)
    except psutil.NoSuchProcess:
        return True
