"""Write the files of a new project, with an explanation beside each key."""

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
    """Write the files of a project, and open it.

    Args:
        folder: New or empty folder.
        model: Name of the model.
        sources: Folders in which pictures arrive.
        preset: Preset to train with.
        overrides: Overrides of the preset.

    Raises:
        UserError: if the folder holds something, or a value is wrong; no file is left then.
        OSError: if it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"`DIR` must be a new or empty folder. Received: {folder}")
    given = {
        "MODEL": yaml_text(model),
        "SOURCES": yaml_text(sources),
        "PRESET": yaml_text(preset),
        "OVERRIDES": yaml_text(overrides),
    }
    # One pass: a path that holds `{PRESET}` stays as it is.
    text = re.sub(
        r"\{([A-Z]+)\}",
        lambda key: given[key[1]],
        (_TEMPLATES / "pipeline.yaml").read_text(),
    )
    there = folder.exists()
    (folder / "dagster").mkdir(parents=True)
    atomic.write_file(
        folder / "dagster" / "dagster.yaml", (_TEMPLATES / "dagster.yaml").read_text()
    )
    atomic.write_file(folder / PIPELINE, text)
    try:
        project = open_project(folder)
        project.places()
        return project
    except UserError:
        for path in (folder / PIPELINE, folder / "dagster" / "dagster.yaml"):
            path.unlink()
        (folder / "dagster").rmdir()
        if not there:
            folder.rmdir()
        raise
