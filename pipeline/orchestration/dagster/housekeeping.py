"""Housekeeping of `growgan pipeline up`: finish what killed or failed runs could not finish."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from pipeline.exit_status import AGAIN
from pipeline.orchestration.dagster.dagster_runs import (
    RECORDING_SECONDS,
    has_outcome,
    run_for,
    will_be_restarted,
)
from pipeline.orchestration.dagster.recovery import fail_killed_foreground_runs
from pipeline.orchestration.project import Project
from pipeline.orchestration.runs.ending import end_run
from pipeline.orchestration.runs.failure import RunFailure
from pipeline.orchestration.steps.publishing import finish_roll_back
from savedmodels.locks import is_held

_UNKNOWN = RunFailure(
    reason="its end could not be recorded; its page in the user interface may have the reason",
    status=AGAIN,
    may_pass=True,
)


def clean_up(project: Project, instance: DagsterInstance) -> Iterator[str]:
    """Try each task once, and yield lines on roll backs done and on tasks that must be retried."""
    # Catch errors task by task: a full disk may stop only one. The next call retries.
    try:
        fail_killed_foreground_runs(project, instance)
    except Exception as error:
        yield f"a run that was killed cannot be noted yet: {error}"
    try:
        record_missing_outcomes(project, instance)
    except Exception as error:
        yield f"the end of a run cannot be written down yet: {error}"
    try:
        # Leave the roll back to a run in progress, whose smoke test does it.
        if not is_held(project.run_lock) and (version := finish_roll_back(project)):
            yield f"`stable` is back at version {version}"
    except Exception as error:
        yield f"`stable` cannot go back yet: {error}"


def record_missing_outcomes(project: Project, instance: DagsterInstance) -> None:
    """Write the outcomes of runs that could not write them, for example on a full disk.

    Raises:
        Exception: if an outcome still cannot be written, after all others are.
    """
    # Skip runs that ended more than a day ago: a user may have removed their outcomes.
    since = datetime.now(UTC) - timedelta(days=1)
    failed = RunsFilter(statuses=[DagsterRunStatus.FAILURE], updated_after=since)
    problems: list[Exception] = []
    for record in instance.get_run_records(failed):
        dagster_run = record.dagster_run
        # Let the sensor `endings` write first. Dagster calls it only once for each failed run.
        late = time.time() - (record.end_time or 0.0) > RECORDING_SECONDS
        ended = late and not will_be_restarted(dagster_run)
        if ended and not has_outcome(project, dagster_run):
            try:
                run = run_for(project.path, dagster_run)
                end_run(run, run.state.failure or _UNKNOWN)
            except Exception as error:
                problems.append(error)
    if problems:
        raise problems[0]
