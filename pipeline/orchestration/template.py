"""Write a new project's `pipeline.yaml`, with comments, and `dagster.yaml` from templates."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from pipeline.errors import UserError
from pipeline.orchestration.project import PIPELINE, Project, open_project, yaml_text
from savedmodels import atomic

_TEMPLATES = resources.files("pipeline") / "orchestration" / "templates"


def write_project(
    folder: Path, *, model: str, sources: list[str], preset: str, overrides: list[str]
) -> Project:
    """Write a project into a new or empty folder, for `growgan pipeline init`, and open it.

    Raises:
        UserError: if the folder is not empty, or a value is wrong; no file is left behind.
        OSError: if a file cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"`DIR` must be a new or empty folder. Received: {folder}")
    given = {
        "MODEL": yaml_text(model),
        "SOURCES": yaml_text(sources),
        "PRESET": yaml_text(preset),
        "OVERRIDES": yaml_text(overrides),
    }
    template = (_TEMPLATES / "pipeline.yaml").read_text()
    # Replace in one pass, so that a path such as `{PRESET}/x` is not replaced in turn.
    text = re.sub(r"\{([A-Z]+)\}", lambda key: given[key[1]], template)
    there = folder.exists()
    dagster = folder / "dagster" / "dagster.yaml"
    dagster.parent.mkdir(parents=True)
    atomic.write_file(dagster, (_TEMPLATES / "dagster.yaml").read_text())
    atomic.write_file(folder / PIPELINE, text)
    try:
        project = open_project(folder)
        project.places()
        return project
    except UserError:
        for path in (folder / PIPELINE, dagster):
            path.unlink()
        dagster.parent.rmdir()
        if not there:
            folder.rmdir()
        raise
