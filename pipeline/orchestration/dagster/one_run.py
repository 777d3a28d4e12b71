"""Lock that lets only one run of a project proceed at a time, started by hand or by a trigger."""

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
    """Return a Dagster resource that holds the project's run lock during a run."""

    @resource
    def alone(context: InitResourceContext) -> Any:
        def log_wait() -> None:
            line = "waiting for another run of this project to end"
            logging.getLogger(PROGRESS).info(line)  # Shown in the terminal.
            if context.log is not None:
                context.log.info(line)  # Shown on Dagster's page.

        with hold(project.run_lock, on_wait=log_wait):
            if context.run is not None:
                with suppress(OSError):  # On a full disk, only `pipeline status` lacks the run.
                    project.run_lock.write_text(name_of_run(context.run))
            yield

    return alone
