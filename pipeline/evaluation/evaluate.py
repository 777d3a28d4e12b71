"""Evaluate a run at its newest or another checkpoint, and write the scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from pipeline.config import EvaluationConfig
from pipeline.data.dataset import labels_of
from pipeline.data.grids import write_png
from pipeline.data.records import RecordSet
from pipeline.errors import UserError
from pipeline.evaluation.extraction import extract
from pipeline.evaluation.fakes import Fakes, labels_like
from pipeline.evaluation.features import FeatureNetwork, open_features
from pipeline.evaluation.measures import (
    MEASURES,
    OF_PIXELS,
    Material,
    by_class,
    images_set_apart,
    obstacle,
)
from pipeline.evaluation.pictures import pictures_of
from pipeline.evaluation.references import REFERENCES, references_for
from pipeline.evaluation.scores import (
    Evaluation,
    FeaturesUsed,
    Lineage,
    Score,
    folder_of,
    write_scores,
)
from pipeline.run_folder import RunFolder
from pipeline.sampling.painter import Painter
from pipeline.saved_networks import SavedNetworks
from pipeline.training.loop.checkpoints import Checkpoint
from savedmodels.checksum import checksum

USUAL = MEASURES.keys() - {"path_length"}
"""Default measures: all except path length, which takes longer than all others together."""

Report = Callable[[int, int], None]
Stage = Callable[[str], AbstractContextManager[Report]]
"""Function from the name of a stage of work to a context that reports its progress."""


@dataclass(frozen=True)
class Plan:
    """Plan of a measurement.

    Args:
        checkpoint: Checkpoint of the run.
        records: Records that it was trained on.
        measures: Names of the measures, in the order of `MEASURES`.
        left_out: Needs of measures that are left out, by the measure's name.
        network: Network for features; None if no measure needs features.
        images: Number of images to generate.
        seed: Seed of random choices: labels, subsets, patches.
        noise: Noise of a generator with styles: constant, or random per image.
    """

    checkpoint: Checkpoint
    records: RecordSet
    measures: tuple[str, ...]
    left_out: Mapping[str, str]
    network: FeatureNetwork | None
    images: int
    seed: int
    noise: Literal["constant", "random"]


def plan_of(
    run: RunFolder,
    records: RecordSet,
    settings: EvaluationConfig,
    *,
    images_seen: int | None = None,
    elsewhere: bool = False,
) -> Plan:
    """Plan a measurement, and check that it is possible.

    Args:
        run: Run with a checkpoint.
        records: Records that the run was trained on, as from `data.prepare.records_for`.
        settings: Settings of the measurement.
        images_seen: Images seen at the checkpoint; None for the newest.
        elsewhere: Whether to allow other records than those of the training, for `measure`.

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
    if settings.features is not None and not set(asked) <= set(OF_PIXELS):
        network = open_features(settings.features)
    lacks = {name: obstacle(name, network, records, labelled=labelled) for name in asked}
    left_out = {name: what for name, what in lacks.items() if what is not None}
    # Only metrics given by name are required; defaults may be left out.
    if left_out and settings.metrics is not None:
        name, what = next(iter(left_out.items()))
        raise UserError(f"the metric {name} needs {what}. Received: none")
    return Plan(
        checkpoint,
        records,
        tuple(name for name in asked if name not in left_out),
        left_out,
        network,
        settings.images,
        settings.seed,
        settings.noise,
    )


def evaluate(run: RunFolder, plan: Plan, stage: Stage) -> Evaluation:
    """Measure, and write `scores.json` and sheets of images into the run, for the report.

    Scores depend on checkpoint, data and plan only; a repeated evaluation gives the same.

    Args:
        run: Run to measure.
        plan: Plan of the measurement.
        stage: Function that reports progress.

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


def measure(run: RunFolder, plan: Plan, stage: Stage) -> Evaluation:
    """Measure on any records, without writing into the run.

    Raises:
        UserError: as `evaluate`.
    """
    return _measured(run, plan, stage)[0]


def _measured(run: RunFolder, plan: Plan, stage: Stage) -> tuple[Evaluation, Material]:
    material = _material(run, plan, stage)
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
        told = "; ".join(f"{name}: {why}" for name, why in not_measured.items())
        raise UserError(f"at least one measure must be possible. Received: {told}")
    position = plan.checkpoint.position
    manifest = run.manifest()
    network = plan.network
    evaluation = Evaluation(
        run=run.path.resolve().name,
        checkpoint=plan.checkpoint.folder.name,
        images_seen=position.images_seen,
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


def _material(run: RunFolder, plan: Plan, stage: Stage) -> Material:
    painter = Painter(SavedNetworks(run, plan.checkpoint).sampler())
    resolution = painter.sampler.model.output_shape[1]
    labels = None
    if run.config().data.labels:
        labels = labels_like(labels_of(plan.records), plan.images, seed=plan.seed)
    material = Material(
        Fakes(painter, plan.images, labels, plan.noise),
        plan.records,
        resolution,
        plan.seed,
    )
    if plan.network is None:
        return material
    # Beside the sets, so that all runs on one set share it.
    kept = plan.records.folder.parent / REFERENCES
    with stage("features of real images") as report:
        references = references_for(plan.records, resolution, plan.network, kept, report=report)
    mirrored = None
    # A copy of a mirrored training image is a copy too.
    if "memorisation" in plan.measures and _shows_mirrored(run, plan.records):
        with stage("features of real images, mirrored") as report:
            mirrored = references_for(
                plan.records, resolution, plan.network, kept, mirrored=True, report=report
            )
    held_out = None
    if images_set_apart(plan.records):
        with stage("features of held-out images") as report:
            held_out = references_for(
                plan.records, resolution, plan.network, kept, split="val", report=report
            )
    with stage("features of generated images") as report:
        features = extract(plan.network, material.fakes.batches(), total=plan.images, report=report)
    return replace(
        material,
        network=plan.network,
        features=features,
        references=references,
        mirrored=mirrored,
        held_out=held_out,
    )


def _shows_mirrored(run: RunFolder, records: RecordSet) -> bool:
    """Return whether the run was trained on mirrored images too."""
    return run.config().data.mirror or bool(records.manifest.preparation.get("mirrored_copies"))
