"""Entry point for Dagster's processes: the definitions of the project in `GROWGAN_PIPELINE`."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.orchestration.dagster.definitions import definitions_of
from pipeline.orchestration.dagster.instance import FOLDER
from pipeline.orchestration.project import open_project

# Do not move this module: Dagster keeps its name in the records of every project.
defs = definitions_of(open_project(Path(os.environ[FOLDER])))
