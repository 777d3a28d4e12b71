"""Fail runs whose processes are gone, so that nothing waits for them any longer."""

from __future__ import annotations

import os
import socket

import psutil
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from pipeline.exit_status import AGAIN
from pipeline.orchestration.dagster.dagster_runs import run_for
from pipeline.orchestration.dagster.instance import allow_another_restart
from pipeline.orchestration.project import Project
from pipeline.orchestration.runs.failure import RunFailure, failure_of
from savedmodels.locks import is_held

PROCESS_TAG = "growgan/process"
"""Tag of a run in the foreground: machine, number and birth of its process."""
REASON = "the process of the run was ended, or the machine, or its end could not be written down"
_LIVING = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]


def this_process() -> str:
    """Return a name that tells this process from every other, on other machines too."""
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time()}"


def fail_orphaned_runs(project: Project, instance: DagsterInstance) -> list[str]:
    """Fail runs whose processes are gone, as after a restart of the machine.

    Dagster's daemon watches the processes that it has started only while it lives. It starts
    failed runs again, from the step that was in progress. While any run holds the lock, none is
    failed.

    Returns:
        The names of the runs that Dagster will start again.
    """
    if is_held(project.run_lock):
        return []
    again: list[str] = []
    for run in instance.get_runs(RunsFilter(statuses=_LIVING)):
        if run.remote_job_origin is not None:
            allow_another_restart(instance, run)
        if _fail(project, instance, run) and run.remote_job_origin is not None:
            again.append(run.run_id[:8])
    return again


def fail_killed_foreground_runs(project: Project, instance: DagsterInstance) -> None:
    """Fail runs that were started by hand on this machine and then killed.

    Nobody else watches their processes, and other runs would wait for them for ever.
    """
    statuses = [DagsterRunStatus.NOT_STARTED, *_LIVING]
    for run in instance.get_runs(RunsFilter(statuses=statuses)):
        process = run.tags.get(PROCESS_TAG)
        if process is not None and _is_gone(process):
            _fail(project, instance, run)


def _fail(project: Project, instance: DagsterInstance, run: DagsterRun) -> bool:
    """Fail a run, and return whether Dagster starts it again."""
    reason = REASON
    if run.remote_job_origin is None:  # Sensors hear only of runs that the daemon has started.
        try:
            failure = RunFailure(reason=REASON, status=AGAIN, may_pass=True)
            run_for(project.path, run).end(failure)
        except Exception as error:  # Of any kind: others would wait for this run for ever.
            reason += f", which cannot be written down: {failure_of(error).reason}"
    instance.report_run_failed(run, reason)
    failed = instance.get_run_by_id(run.run_id)
    return failed is not None and failed.tags.get("dagster/will_retry") == "true"


def _is_gone(process: str) -> bool:
    host, number, born = process.split()
    if host != socket.gethostname():  # Another machine's processes cannot be seen from here.
        return False
    try:
        return psutil.Process(int(number)).create_time() != float(born)
    except psutil.NoSuchProcess:
        return True
