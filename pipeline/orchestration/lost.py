"""Runs whose processes are gone: noted as failed, so that nothing waits for them any longer."""

from __future__ import annotations

import os
import socket

import psutil
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from pipeline.exit_status import AGAIN
from pipeline.orchestration.assets import course_of_run
from pipeline.orchestration.failure import StepFailed, failure_of
from pipeline.orchestration.instance import start_again
from pipeline.orchestration.project import Project
from savedmodels.locks import is_held

PROCESS_TAG = "growgan/process"
"""Machine, number and time of birth of the process that a run in the foreground lives in."""
REASON = "the process of the run was ended, or the machine, or its end could not be written down"
_LIVING = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]


def this_process() -> str:
    """Return a name that tells this process from every other, on other machines too."""
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time()}"


def give_up_lost_runs(project: Project, instance: DagsterInstance) -> list[str]:
    """Note that runs have failed whose processes are gone, as after a restart of the machine.

    Dagster's own daemon looks after the processes that it has started while it lives. It then
    starts such runs again, from the step that was under way. Nothing is given up while any run
    holds the lock.

    Returns:
        The names of those that Dagster will start again.
    """
    if is_held(project.run_lock):
        return []
    again: list[str] = []
    for run in instance.get_runs(RunsFilter(statuses=_LIVING)):
        if run.remote_job_origin is not None:
            start_again(instance, run)
        if _give_up(project, instance, run) and run.remote_job_origin is not None:
            again.append(run.run_id[:8])
    return again


def give_up_foreground_runs(project: Project, instance: DagsterInstance) -> None:
    """Note that runs have failed that were started by hand on this machine, and then killed.

    Nobody else looks after their processes, and other runs would wait for them for ever.
    """
    statuses = [DagsterRunStatus.NOT_STARTED, *_LIVING]
    for run in instance.get_runs(RunsFilter(statuses=statuses)):
        process = run.tags.get(PROCESS_TAG)
        if process is not None and _is_gone(process):
            _give_up(project, instance, run)


def _give_up(project: Project, instance: DagsterInstance, run: DagsterRun) -> bool:
    """Note that a run has failed; whether Dagster starts it again."""
    reason = REASON
    if run.remote_job_origin is None:  # No sensor of Dagster's is told of these.
        try:
            course_of_run(project.path, run).end(StepFailed(REASON, status=AGAIN, may_pass=True))
        except Exception as error:  # Whatever it is, others would wait for this run for ever.
            reason += f", which cannot be written down: {failure_of(error).reason}"
    instance.report_run_failed(run, reason)
    noted = instance.get_run_by_id(run.run_id)
    return noted is not None and noted.tags.get("dagster/will_retry") == "true"


def _is_gone(process: str) -> bool:
    host, number, born = process.split()
    if host != socket.gethostname():
        return False
    try:
        return psutil.Process(int(number)).create_time() != float(born)
    except psutil.NoSuchProcess:
        return True
