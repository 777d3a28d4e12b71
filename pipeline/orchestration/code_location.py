"""Definitions that Dagster's processes load: the project that the environment names."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.orchestration.definitions import definitions_of
from pipeline.orchestration.instance import FOLDER
from pipeline.orchestration.project import open_project

defs = definitions_of(open_project(Path(os.environ[FOLDER])))
