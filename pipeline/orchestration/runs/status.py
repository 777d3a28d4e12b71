"""Status of a project for `growgan pipeline status`: runs, labels and errors of triggers."""

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

# `status --json` prints these records with the aliases as keys, because scripts rely on them.


class RunInProgress(JsonRecord):
    """Run that has started and not ended."""

    run: str
    """Name of the run in the history."""
    state: RunState = Field(alias="begun")
    step: str | None
    """First step that is not done yet, None once all are done."""


class LabelStatus(JsonRecord):
    """Label in the model repository, such as `stable`, and the version that it points to."""

    label: str
    version: int | None
    """Version that the label points to, None if to none yet."""
    there: bool = True
    """False if the folder of this version is gone."""
    waits_for: int | None
    """Version that the label moves to once servers have loaded it, None if it stays."""


class ProjectStatus(JsonRecord):
    """Status of a project, with the keys of `status --json`."""

    model: str
    """Name of the model."""
    repository: str
    """Path of the model repository."""
    up: bool
    """True if `growgan pipeline up` is running for this project."""
    now: RunInProgress | None
    """Run in progress."""
    last: Outcome | None
    """Outcome of the newest run that has ended."""
    labels: tuple[LabelStatus, ...]
    trigger_errors: dict[str, str] = Field(alias="complaints")
    """Reasons why triggers could not read the sources, by the name of the trigger."""
    new: int | None
    """Upper bound of the number of new pictures, None if the sources cannot be read."""
    as_promoted: bool
    """True if the sources hold exactly the pictures of the last promoted run."""
    least: int | None
    """Minimum number of new pictures to start a run, None if new pictures start none."""
    not_judged: str | None
    """Reason why no score decides the promotion, None if the project has a gate."""


def write_trigger_error(project: Project, trigger: str, reason: str | None) -> None:
    """Write the reason why a trigger could not read the sources; remove it if it is None."""
    file = project.trigger_errors / f"{trigger}.txt"
    with suppress(OSError):  # A full disk may be why the trigger failed.
        if reason is None:
            file.unlink(missing_ok=True)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_file(file, reason + "\n")


def read_status(project: Project) -> ProjectStatus:
    """Read the status of a project from its files, its locks and the repository.

    Raises:
        UserError: if an outcome is damaged.
        RepositoryError: if the history of the model is damaged.
    """
    history = history_of(project.path)
    new, as_promoted = _compare_sources(project)
    errors = project.trigger_errors.glob("*.txt")
    return ProjectStatus(
        model=project.config.model,
        repository=str(project.repository.path),
        up=is_held(project.up_lock),
        now=_run_in_progress(project),
        last=history[-1] if history else None,
        labels=tuple(label_statuses(project)),
        trigger_errors={file.stem: file.read_text().strip() for file in errors},
        new=new,
        as_promoted=as_promoted,
        least=project.config.schedule.new_data and project.config.schedule.new_data.least,
        not_judged=None if project.config.gate else why_not_judged(project),
    )


def _run_in_progress(project: Project) -> RunInProgress | None:
    if not is_held(project.run_lock):
        return None
    folder = find_folder(project.path, project.run_lock.read_text())
    if folder is None:  # The run has the lock, but has not written its state yet.
        return None
    state = read_state(folder)
    done = {step.name for step in state.steps if step.state in ("done", "unchanged")}
    # Use the run's own copy of the configuration: the stages may have changed since.
    kept = open_project(project.path, folder / PIPELINE)
    names = step_names(kept.stages())
    step = next((name for name in names if name not in done), None)
    return RunInProgress(run=folder.name, state=state, step=step)


def _compare_sources(project: Project) -> tuple[int | None, bool]:
    """Return the maximum number of new pictures, and whether only the promoted ones are there."""
    try:
        former, files = former_pictures(project), list_files(project)
        promoted = former.promoted
        same = (
            promoted is not None
            and files.keys() == promoted.files.keys()
            and all_unchanged(project, files, promoted)
        )
        return former.max_new(project, files), same
    except (UserError, OSError):  # The triggers report this error.
        return None, False


def label_statuses(project: Project) -> Iterator[LabelStatus]:
    """Yield the status of each label of the project's model."""
    standing = project.repository.label_state(project.config.model)
    there = versions_in(project.repository.folder_of(project.config.model))
    for label in sorted(standing.labels.keys() | standing.pending.keys(), reverse=True):
        pending, version = standing.pending.get(label), standing.labels.get(label)
        yield LabelStatus(
            label=label,
            version=version,
            there=version is None or version in there,
            waits_for=pending and pending.version,
        )
