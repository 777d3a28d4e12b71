"""Why a trigger could not look at the sources: kept until it can, for those who ask."""

from __future__ import annotations

from pipeline.orchestration.project import Project
from savedmodels import atomic


def write_complaint(project: Project, trigger: str, reason: str | None) -> None:
    """Keep a reason in one line, or take away the one that is there.

    What cannot be written is left: the disk may be what the trigger complains of.
    """
    file = project.complaints / f"{trigger}.txt"
    try:
        if reason is None:
            file.unlink(missing_ok=True)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_file(file, reason + "\n")
    except OSError:
        return


def read_complaints(project: Project) -> dict[str, str]:
    """The reasons that stand, by the name of the trigger."""
    return {file.stem: file.read_text().strip() for file in project.complaints.glob("*.txt")}
