"""Code location that Dagster's processes load: the project that the environment names."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.orchestration.dagster.definitions import definitions_of
from pipeline.orchestration.dagster.instance import FOLDER
from pipeline.orchestration.project import open_project

# Dagster keeps the name of this module in its records of every project, so it stays here.
defs = definitions_of(open_project(Path(os.environ[FOLDER])))
