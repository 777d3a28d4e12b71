"""Measure a checkpoint of a run and write its scores, for `growgan evaluate` and the orchestration.

docs/evaluation.md describes the measures.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.config import EvaluationConfig
from pipeline.data.grids import write_png
from pipeline.data.records import RecordSet
from pipeline.errors import UserError
from pipeline.evaluation.features import open_features
from pipeline.evaluation.material import EvaluationPlan, Material, Stage, material_for
from pipeline.evaluation.measures import MEASURES, OF_PIXELS, by_class, missing_need
from pipeline.evaluation.pictures import draw_sheets
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

USUAL = MEASURES.keys() - {"path_length"}
"""Default measures: all but the path length, which takes longer than the others together."""


def plan_evaluation(
    run: RunFolder,
    records: RecordSet,
    settings: EvaluationConfig,
    *,
    images_seen: int | None = None,
    elsewhere: bool = False,
) -> EvaluationPlan:
    """Plan the evaluation of a checkpoint, and check that it is possible.

    The checkpoint is the one after `images_seen` images, or the newest. `elsewhere` allows records
    that the run was not trained on; such a plan is for `measure` only.

    Raises:
        UserError: if there is no such checkpoint, the run was trained on other records, features
            cannot be opened, a measure given by name needs something that is missing, or random
            noise is requested for a family without styles.
    """
    generator = run.config().network
    if settings.noise == "random" and not generator.has_styles:
        raise UserError(
            "`evaluation.noise=random` needs a run of a family with styles. "
            f"Received: {generator.family}"
        )
    trained_on = run.manifest()["data"]["hash"]
    if trained_on is None or elsewhere:  # None for an imported run: its data is unknown.
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
    # Open the feature network only if needed: its weights may be large, or missing.
    if settings.features is not None and not set(asked) <= set(OF_PIXELS):
        network = open_features(settings.features)
    needs = {name: missing_need(name, network, records, labelled=labelled) for name in asked}
    left_out = {name: what for name, what in needs.items() if what is not None}
    # Refuse only if the user named the metrics; leave out defaults that are not possible.
    if left_out and settings.metrics is not None:
        name, what = next(iter(left_out.items()))
        raise UserError(f"the metric {name} needs {what}. Received: none")
    measures = tuple(name for name in asked if name not in left_out)
    return EvaluationPlan(checkpoint, records, settings, measures, left_out, network)


def evaluate(run: RunFolder, plan: EvaluationPlan, stage: Stage) -> Evaluation:
    """Measure, and write `scores.json` and sheets of images into the run, for `write_report`.

    Scores depend only on checkpoint, data and plan: a repeated evaluation gives the same scores.

    Raises:
        UserError: if images do not suit the features, or no measure is possible.
        OSError: if something cannot be written.
    """
    evaluation, material = _measure(run, plan, stage)
    folder = folder_of(run, evaluation)
    for name, sheet in draw_sheets(material, SavedNetworks(run, plan.checkpoint).discriminator()):
        write_png(folder / f"{name}.png", sheet)
    # Write the scores last, so that a folder with scores always has its sheets.
    write_scores(run, evaluation)
    return evaluation


def measure(run: RunFolder, plan: EvaluationPlan, stage: Stage) -> Evaluation:
    """Measure a checkpoint, without writing into the run; the plan may have other records."""
    return _measure(run, plan, stage)[0]


def _measure(run: RunFolder, plan: EvaluationPlan, stage: Stage) -> tuple[Evaluation, Material]:
    material = material_for(run, plan, stage)
    scores: list[Score] = []
    not_measured = {name: f"it needs {what}" for name, what in plan.left_out.items()}
    with stage("measuring") as report:
        for done, name in enumerate(plan.measures, start=1):
            try:
                scores += list(MEASURES[name](material))
            except UserError as error:  # For example, too few images; go on with the others.
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
            # Hash the manifest only: it holds the hashes of all files of the checkpoint.
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
