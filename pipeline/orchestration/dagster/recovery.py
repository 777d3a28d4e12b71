"""Recovery of runs whose processes were killed: mark them as failed, and record their ends."""

# No `from __future__ import annotations`: Dagster needs the annotations of sensors as objects.
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
"""Tag of a foreground run: host, process id and start time of its process."""
REASON = "the process of the run was ended, or the machine, or its end could not be written down"


def this_process() -> str:
    """Return an identifier of this process that is unique across machines."""
    # Include the start time, because the kernel reuses process ids.
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time()}"


def fail_orphaned_runs(project: Project, instance: DagsterInstance) -> list[str]:
    """Fail runs that `growgan pipeline up` finds without a process when it starts.

    Returns:
        The names of the runs that Dagster will restart.
    """
    if is_held(project.run_lock):  # One of the runs is in progress, and we cannot tell which.
        return []
    restarted: list[str] = []
    # Do it here: a new daemon of Dagster does not watch the processes that an earlier one started.
    for run in instance.get_runs(RunsFilter(statuses=LIVING)):
        if run.remote_job_origin is not None:
            allow_another_restart(instance, run)
        if _fail(project, instance, run):
            restarted.append(run.run_id[:8])
    return restarted


def fail_killed_foreground_runs(project: Project, instance: DagsterInstance) -> None:
    """Fail runs that were started by hand on this machine and then killed."""
    # Dagster does not watch their processes, and other runs would wait for them forever.
    statuses = [DagsterRunStatus.NOT_STARTED, *LIVING]
    for run in instance.get_runs(RunsFilter(statuses=statuses)):
        process = run.tags.get(PROCESS_TAG)
        if process is not None and _is_gone(process):
            _fail(project, instance, run)


def endings_of(project: Project) -> SensorDefinition:
    """Return the sensor that records the ends of failed runs which could not record them."""

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
        # Replace Dagster's message for a killed process, which says nothing about the cause.
        known = message and "outside the execution context" not in message
        _end(project, run, message if known else REASON)
        return None

    return endings


def _fail(project: Project, instance: DagsterInstance, run: DagsterRun) -> bool:
    """Mark a run as failed in Dagster, and return whether Dagster will restart it."""
    reason = REASON
    if run.remote_job_origin is None:  # Sensors get only runs that the daemon has started.
        try:
            _end(project, run, REASON)
        except Exception as error:  # Go on after any error: other runs would wait for this one.
            reason += f", which cannot be written down: {failure_of(error).reason}"
    instance.report_run_failed(run, reason)
    failed = instance.get_run_by_id(run.run_id)  # Read it again, with the tags of its failure.
    return failed is not None and will_be_restarted(failed)


def _end(project: Project, run: DagsterRun, reason: str) -> None:
    failure = RunFailure(reason=reason, status=AGAIN, may_pass=True)
    end_run(run_for(project.path, run), failure)


def _is_gone(process: str) -> bool:
    host, process_id, started = process.split()
    if host != socket.gethostname():  # Another machine's processes cannot be seen from here.
        return False
    try:
        return psutil.Process(int(process_id)).create_time() != float(started)
    except psutil.NoSuchProcess:
        return True
