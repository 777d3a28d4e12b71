"""Collect what a model repository stores with a SavedModel: configuration, scores and verdict."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from pipeline.errors import UserError
from pipeline.evaluation.gate import verdict_on
from pipeline.evaluation.scores import (
    Evaluation,
    evaluation_of,
    fault_of,
    folder_of,
    score_history,
)
from pipeline.training_run.folder import RunFolder
from savedmodels.repository.versions import About, Gate, Publication, lineage_of


def to_publish(path: Path) -> tuple[Path, About]:
    """Find the SavedModel at a path, and the facts to publish with it.

    The path is the folder of a run, which means its newest export, or of any SavedModel.

    Raises:
        UserError: if a run has no export, or its configuration or scores cannot be read.
        RepositoryError: if the lineage of the SavedModel is damaged.
    """
    if RunFolder(path).exists():
        run, savedmodel = RunFolder(path), RunFolder(path).newest_export()
    else:
        savedmodel = path
        # An export lies at `savedmodels/<height>x<width>/<images seen>` in its run.
        above = path.resolve().parents
        if len(above) < 3 or not RunFolder(above[2]).exists():
            return savedmodel, About()
        run = RunFolder(above[2])
    images_seen = (lineage_of(savedmodel) or {}).get("images_seen")
    return savedmodel, about(run, images_seen)


def about(run: RunFolder, images_seen: int | None) -> About:
    """Collect configuration, scores and verdict for the checkpoint of a run at `images_seen`.

    There are no scores if that checkpoint was not evaluated. If it was evaluated on several feature
    networks, the one in `gate.features` is preferred.

    Raises:
        UserError: if the configuration, scores or verdict cannot be read.
    """
    config = run.config()
    settings = config.model_dump(mode="json")
    if images_seen not in {each.images_seen for each in score_history(run)}:
        return About(settings)
    evaluation = evaluation_of(run, images_seen, features=config.gate.features)
    verdict = verdict_on(evaluation, folder_of(run, evaluation))
    gate = None
    if verdict is not None:
        failed = tuple(f"{rule.rule}: {rule.reason}" for rule in verdict.rules if not rule.passed)
        gate = Gate(passed=verdict.passed, reasons=failed)
    return About(settings, evaluation.model_dump(mode="json"), gate)


def evaluation_in(publication: Publication) -> Evaluation | None:
    """Read the scores in the manifest of a version; None if it has none.

    Raises:
        UserError: if the scores do not fit the schema of this version.
    """
    content = publication.about.evaluation
    try:
        return None if content is None else Evaluation.model_validate(content)
    except ValidationError as error:
        raise UserError(
            f"scores in a manifest must be of schema 1. Received: version {publication.version} "
            f"of {publication.model}, {fault_of(error)}"
        ) from error
