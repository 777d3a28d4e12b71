"""Status of a project: what runs now, how the last run ended, and what each label serves."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.errors import UserError
from pipeline.evaluation.scores import Record
from pipeline.orchestration.begun import Begun, folder_begun, names_of, read_begun
from pipeline.orchestration.complaints import read_complaints
from pipeline.orchestration.outcome import Outcome, history_of
from pipeline.orchestration.project import PIPELINE, Project, open_project
from pipeline.orchestration.snapshots import all_known, found_in
from pipeline.orchestration.steps.judging import why_not_judged
from pipeline.orchestration.waiting import former_pictures
from savedmodels.locks import is_held
from savedmodels.repository.versions import versions_in


class UnderWay(Record):
    """A run that has begun and not ended."""

    run: str
    """Its name in the history."""
    begun: Begun
    """What it has done so far."""
    step: str | None
    """What it does now, None between steps."""


class LabelStanding(Record):
    """Version of one label."""

    label: str
    """Such as `stable`."""
    version: int | None
    """Version that it serves, or None if it serves nothing yet."""
    there: bool = True
    """False if the folder of that version is gone."""
    waits_for: int | None
    """The version that it moves to as soon as servers have loaded it."""


class ProjectStanding(Record):
    """Status of a project."""

    model: str
    """Name of the model."""
    repository: str
    """Folder of the model repository."""
    up: bool
    """Whether what starts runs by itself is running, on this machine."""
    now: UnderWay | None
    """What runs now."""
    last: Outcome | None
    """How the last run that has ended did."""
    labels: tuple[LabelStanding, ...]
    """What is served."""
    complaints: dict[str, str]
    """Why a trigger could not look at the sources, by its name."""
    new: int | None
    """Upper bound of the new pictures, None if the sources cannot be read."""
    as_promoted: bool
    """True if the sources hold exactly the pictures of the last promoted run."""
    least: int | None
    """New pictures needed to start a run, None if new pictures start none."""
    not_judged: str | None
    """Why no score decides what is promoted, None if some do."""


def standing_of(project: Project) -> ProjectStanding:
    """Return the status of a project.

    Raises:
        UserError: if an outcome is damaged.
        RepositoryError: if the history of the model is damaged.
    """
    history = history_of(project.path)
    by_new_data = project.config.schedule.new_data
    new, as_promoted = _in_sources(project)
    return ProjectStanding(
        model=project.config.model,
        repository=str(project.repository.path),
        up=is_held(project.up_lock),
        now=_now(project),
        last=history[-1] if history else None,
        labels=tuple(labels_of(project)),
        complaints=read_complaints(project),
        new=new,
        as_promoted=as_promoted,
        least=by_new_data and by_new_data.least,
        not_judged=None if project.config.gate else why_not_judged(project),
    )


def _now(project: Project) -> UnderWay | None:
    if not is_held(project.run_lock):
        return None
    folder = folder_begun(project.path, project.run_lock.read_text())
    if folder is None:  # It is about to begin.
        return None
    begun = read_begun(folder)
    done = {step.name for step in begun.steps if step.state in ("done", "unchanged")}
    kept = open_project(project.path, folder / PIPELINE)
    names = names_of(kept.stages())
    step = next((name for name in names if name not in done), None)
    return UnderWay(run=folder.name, begun=begun, step=step)


def _in_sources(project: Project) -> tuple[int | None, bool]:
    """Count new pictures, and compare the sources with the promoted snapshot."""
    try:
        former, files = former_pictures(project), found_in(project)
        promoted = former.promoted
        same = (
            promoted is not None
            and files.keys() == promoted.files.keys()
            and all_known(project, files, promoted)
        )
        return former.at_most_new(project, files), same
    except (UserError, OSError):  # The triggers report it.
        return None, False


def labels_of(project: Project) -> Iterator[LabelStanding]:
    """Yield where each label of the project's model stands.

    Raises:
        RepositoryError: if the history of the model is damaged.
    """
    standing = project.repository.standing(project.config.model)
    there = versions_in(project.repository.folder_of(project.config.model))
    for label in sorted(standing.labels.keys() | standing.pending.keys(), reverse=True):
        pending, version = standing.pending.get(label), standing.labels.get(label)
        yield LabelStanding(
            label=label,
            version=version,
            there=version is None or version in there,
            waits_for=pending and pending.version,
        )
