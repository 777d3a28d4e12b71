"""Housekeeping while the pipeline is up: what runs left behind that nobody else sees to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from pipeline.exit_status import AGAIN
from pipeline.orchestration.assets import course_of_run
from pipeline.orchestration.failure import StepFailed
from pipeline.orchestration.lost import give_up_foreground_runs
from pipeline.orchestration.project import Project
from pipeline.orchestration.steps.publishing import finish_roll_back
from pipeline.orchestration.triggers import TO_TELL, has_outcome
from savedmodels.locks import is_held

_UNKNOWN = "why it ended could not be written down; its page in the user interface may tell"


def look_after(project: Project, instance: DagsterInstance) -> Iterator[str]:
    """Do what can be done now; a line for each thing that was done, or must wait."""
    try:
        give_up_foreground_runs(project, instance)
    except Exception as error:  # As of a full disk: another time it may do.
        yield f"a run that was killed cannot be noted yet: {error}"
    try:
        tell_what_was_not_told(project, instance)
    except Exception as error:
        yield f"the end of a run cannot be written down yet: {error}"
    try:
        # While a run goes, its own step does that.
        if not is_held(project.run_lock) and (version := finish_roll_back(project)):
            yield f"`stable` is back at version {version}"
    except Exception as error:
        yield f"`stable` cannot go back yet: {error}"


def tell_what_was_not_told(project: Project, instance: DagsterInstance) -> None:
    """Write down how runs ended where that has failed, as when the disk was full.

    Dagster tells its sensors of each end once. Ends of more than a day ago are left alone: what was
    written of them may have been removed.

    Raises:
        Exception: if one cannot be written down now either; the others are.
    """
    since = datetime.now(UTC) - timedelta(days=1)
    failed = RunsFilter(statuses=[DagsterRunStatus.FAILURE], updated_after=since)
    problems: list[Exception] = []
    for record in instance.get_run_records(failed):
        run = record.dagster_run
        late = time.time() - (record.end_time or 0.0) > TO_TELL
        # Dagster starts again only what it has started.
        again = run.remote_job_origin is not None and run.tags.get("dagster/will_retry") == "true"
        if late and not again and not has_outcome(project, run):
            try:
                course = course_of_run(project.path, run)
                unknown = StepFailed(_UNKNOWN, status=AGAIN, may_pass=True)
                course.end(course.failed() or unknown)
            except Exception as error:
                problems.append(error)
    if problems:
        raise problems[0]
