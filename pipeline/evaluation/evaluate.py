"""Evaluate a run at its newest or another checkpoint, and write the scores."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.config import EvaluationConfig
from pipeline.data.grids import write_png
from pipeline.data.records import RecordSet
from pipeline.errors import UserError
from pipeline.evaluation.features import open_features
from pipeline.evaluation.material import EvaluationPlan, Material, Stage, material_for
from pipeline.evaluation.measures import MEASURES, OF_PIXELS, by_class, obstacle
from pipeline.evaluation.pictures import pictures_of
from pipeline.evaluation.scores import (
    Evaluation,
    FeaturesUsed,
    Lineage,
    Score,
    folder_of,
    write_scores,
)
from pipeline.training_run.folder import RunFolder
from pipeline.training_run.networks import SavedNetworks
from savedmodels.checksum import checksum

USUAL = MEASURES.keys() - {"path_length"}  # It takes longer than all others together.


def plan_evaluation(
    run: RunFolder,
    records: RecordSet,
    settings: EvaluationConfig,
    *,
    images_seen: int | None = None,
    elsewhere: bool = False,
) -> EvaluationPlan:
    """Plan to measure the checkpoint after `images_seen`, or the newest; check that it is possible.

    `elsewhere` allows other records than those that the run was trained on, for `measure`.

    Raises:
        UserError: if there is no such checkpoint, the run was trained on other records, features
            cannot be opened, a measure given by name needs something that is missing, or random
            noise is requested for a family without styles.
    """
    of_run = run.config().network
    if settings.noise == "random" and not of_run.has_styles:
        raise UserError(
            "`evaluation.noise=random` needs a run of a family with styles. "
            f"Received: {of_run.family}"
        )
    trained_on = run.manifest()["data"]["hash"]
    if trained_on is None or elsewhere:  # None: an imported run, whose data is unknown.
        run.require_classes(records)
    elif records.data_hash != trained_on:
        raise UserError(
            "a run must be measured on the data that it was trained on. Received: content "
            f"{records.data_hash[:12]}, not {trained_on[:12]}"
        )
    checkpoint = run.newest_checkpoint() if images_seen is None else run.checkpoint(images_seen)
    labelled = run.config().data.labels
    asked = [name for name in MEASURES if name in (settings.metrics or USUAL)]
    network = None
    # Opened only if needed: weights may be large, or absent.
    if settings.features is not None and not set(asked) <= set(OF_PIXELS):
        network = open_features(settings.features)
    lacks = {name: obstacle(name, network, records, labelled=labelled) for name in asked}
    left_out = {name: what for name, what in lacks.items() if what is not None}
    # Only metrics given by name are required; defaults may be left out.
    if left_out and settings.metrics is not None:
        name, what = next(iter(left_out.items()))
        raise UserError(f"the metric {name} needs {what}. Received: none")
    measures = tuple(name for name in asked if name not in left_out)
    return EvaluationPlan(checkpoint, records, settings, measures, left_out, network)


def evaluate(run: RunFolder, plan: EvaluationPlan, stage: Stage) -> Evaluation:
    """Measure, and write `scores.json` and sheets of images into the run, for the report.

    Scores depend on checkpoint, data and plan only; a repeated evaluation gives the same.

    Raises:
        UserError: if images do not suit the features, or no measure is possible.
        OSError: if something cannot be written.
    """
    evaluation, material = _measured(run, plan, stage)
    folder = folder_of(run, evaluation)
    for name, sheet in pictures_of(material, SavedNetworks(run, plan.checkpoint).discriminator()):
        write_png(folder / f"{name}.png", sheet)
    # Scores last: a folder with scores has its sheets too.
    write_scores(run, evaluation)
    return evaluation


def measure(run: RunFolder, plan: EvaluationPlan, stage: Stage) -> Evaluation:
    """Measure on any records, without writing into the run."""
    return _measured(run, plan, stage)[0]


def _measured(run: RunFolder, plan: EvaluationPlan, stage: Stage) -> tuple[Evaluation, Material]:
    material = material_for(run, plan, stage)
    scores: list[Score] = []
    not_measured = {name: f"it needs {what}" for name, what in plan.left_out.items()}
    with stage("measuring") as report:
        for done, name in enumerate(plan.measures, start=1):
            try:
                scores += list(MEASURES[name](material))
            except UserError as error:  # Such as too few images; others may still work.
                not_measured[name] = str(error)
            report(done, len(plan.measures))
    if not scores:
        reasons = "; ".join(f"{name}: {why}" for name, why in not_measured.items())
        raise UserError(f"at least one measure must be possible. Received: {reasons}")
    manifest, network = run.manifest(), plan.network
    evaluation = Evaluation(
        run=run.path.resolve().name,
        checkpoint=plan.checkpoint.folder.name,
        images_seen=plan.checkpoint.position.images_seen,
        created=datetime.now(UTC).replace(microsecond=0),
        seconds=plan.checkpoint.seconds,
        lineage=Lineage(
            data_hash=plan.records.data_hash,
            # The manifest holds the hashes of all files, so its hash covers the checkpoint.
            checkpoint_hash=checksum(plan.checkpoint.folder / "manifest.json"),
            **{name: manifest[name] for name in ("config_hash", "growgan", "code")},
        ),
        features=network
        and FeaturesUsed(
            name=network.name, identity=network.identity, protocol=dict(network.protocol)
        ),
        scores=tuple(scores),
        classes=by_class(material) if material.fakes.labels is not None and network else (),
        not_measured=not_measured,
    )
    return evaluation, material
