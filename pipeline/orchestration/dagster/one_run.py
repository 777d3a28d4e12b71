"""Lock by which one run of a project goes at a time, whoever started it."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from dagster import InitResourceContext, ResourceDefinition, resource

from pipeline.orchestration.dagster.assets import PROGRESS
from pipeline.orchestration.dagster.dagster_runs import name_of_run
from pipeline.orchestration.project import Project
from savedmodels.locks import hold


def alone_in(project: Project) -> ResourceDefinition:
    """Return a resource that holds the lock of a project for a run."""

    @resource
    def alone(context: InitResourceContext) -> Any:
        def log_wait() -> None:
            line = "waiting for another run of this project to end"
            logging.getLogger(PROGRESS).info(line)  # For a terminal; the next for Dagster's page.
            if context.log is not None:
                context.log.info(line)

        with hold(project.run_lock, on_wait=log_wait):
            if context.run is not None:
                with suppress(OSError):  # On a full disk `status` lacks the run, and no more.
                    project.run_lock.write_text(name_of_run(context.run))
            yield

    return alone
