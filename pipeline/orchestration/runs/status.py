"""Status of a project: its run in progress, its last run, its labels, and errors of triggers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from pydantic import Field

from pipeline.errors import UserError
from pipeline.evaluation.scores import JsonRecord
from pipeline.orchestration.new_pictures import former_pictures
from pipeline.orchestration.project import PIPELINE, Project, open_project
from pipeline.orchestration.runs.outcome import Outcome, history_of
from pipeline.orchestration.runs.run import RunState, find_folder, read_state
from pipeline.orchestration.snapshots import all_unchanged, list_files
from pipeline.orchestration.steps.judging import why_not_judged
from pipeline.orchestration.steps.step import step_names
from savedmodels import atomic
from savedmodels.locks import is_held
from savedmodels.repository.versions import versions_in

# `status --json` prints these records: the aliases are keys that scripts know.


class UnderWay(JsonRecord):
    """A run that has begun and not ended."""

    run: str
    """Name of the run in the history."""
    state: RunState = Field(alias="begun")
    step: str | None
    """Step in progress, None between steps."""


class LabelStatus(JsonRecord):
    """Version of one label."""

    label: str
    version: int | None
    """Version that the label serves, None if it serves nothing yet."""
    there: bool = True
    """False if the folder of that version is gone."""
    waits_for: int | None
    """Version that the label moves to as soon as servers have loaded it."""


class ProjectStatus(JsonRecord):
    """Status of a project."""

    model: str
    repository: str
    up: bool
    """True if `growgan pipeline up` is running on this machine."""
    now: UnderWay | None
    """Run in progress."""
    last: Outcome | None
    """Outcome of the last run that has ended."""
    labels: tuple[LabelStatus, ...]
    trigger_errors: dict[str, str] = Field(alias="complaints")
    """Reasons why triggers could not look at the sources, by the name of the trigger."""
    new: int | None
    """Upper bound of the new pictures, None if the sources cannot be read."""
    as_promoted: bool
    """True if the sources hold exactly the pictures of the last promoted run."""
    least: int | None
    """New pictures needed to start a run, None if new pictures start none."""
    not_judged: str | None
    """Reason why no score decides what is promoted, None if some do."""


def write_trigger_error(project: Project, trigger: str, reason: str | None) -> None:
    """Keep the reason why a trigger could not look at the sources, None to remove it."""
    file = project.trigger_errors / f"{trigger}.txt"
    with suppress(OSError):  # A full disk may be the reason itself.
        if reason is None:
            file.unlink(missing_ok=True)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_file(file, reason + "\n")


def read_status(project: Project) -> ProjectStatus:
    """Return the status of a project.

    Raises:
        UserError: if an outcome is damaged.
        RepositoryError: if the history of the model is damaged.
    """
    history = history_of(project.path)
    new, as_promoted = _in_sources(project)
    errors = project.trigger_errors.glob("*.txt")
    return ProjectStatus(
        model=project.config.model,
        repository=str(project.repository.path),
        up=is_held(project.up_lock),
        now=_now(project),
        last=history[-1] if history else None,
        labels=tuple(label_statuses(project)),
        trigger_errors={file.stem: file.read_text().strip() for file in errors},
        new=new,
        as_promoted=as_promoted,
        least=project.config.schedule.new_data and project.config.schedule.new_data.least,
        not_judged=None if project.config.gate else why_not_judged(project),
    )


def _now(project: Project) -> UnderWay | None:
    if not is_held(project.run_lock):
        return None
    folder = find_folder(project.path, project.run_lock.read_text())
    if folder is None:  # The run is about to begin.
        return None
    state = read_state(folder)
    done = {step.name for step in state.steps if step.state in ("done", "unchanged")}
    # The run keeps the stages that it began with.
    kept = open_project(project.path, folder / PIPELINE)
    names = step_names(kept.stages())
    step = next((name for name in names if name not in done), None)
    return UnderWay(run=folder.name, state=state, step=step)


def _in_sources(project: Project) -> tuple[int | None, bool]:
    """Bound the new pictures from above, and compare the sources with the promoted snapshot."""
    try:
        former, files = former_pictures(project), list_files(project)
        promoted = former.promoted
        same = (
            promoted is not None
            and files.keys() == promoted.files.keys()
            and all_unchanged(project, files, promoted)
        )
        return former.max_new(project, files), same
    except (UserError, OSError):  # Triggers report it.
        return None, False


def label_statuses(project: Project) -> Iterator[LabelStatus]:
    """Yield the status of each label of the project's model."""
    standing = project.repository.standing(project.config.model)
    there = versions_in(project.repository.folder_of(project.config.model))
    for label in sorted(standing.labels.keys() | standing.pending.keys(), reverse=True):
        pending, version = standing.pending.get(label), standing.labels.get(label)
        yield LabelStatus(
            label=label,
            version=version,
            there=version is None or version in there,
            waits_for=pending and pending.version,
        )
