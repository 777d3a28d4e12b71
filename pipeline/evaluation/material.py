"""Inputs that the measures of an evaluation share: generated and real images and their features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.config import EvaluationConfig
from pipeline.data.dataset import images_of, labels_of
from pipeline.data.records import RecordSet
from pipeline.evaluation.extraction import extract
from pipeline.evaluation.features.network import FeatureNetwork, Features, Images
from pipeline.evaluation.generated import GeneratedImages, labels_like
from pipeline.evaluation.references import (
    READ_AT_A_TIME,
    REFERENCES,
    References,
    references_for,
)
from pipeline.sampling.painter import Painter
from pipeline.training.loop.checkpoints import Checkpoint
from pipeline.training_run.folder import RunFolder
from pipeline.training_run.networks import SavedNetworks

Report = Callable[[int, int], None]
"""Callback for progress, with the numbers of items done and in all."""
Stage = Callable[[str], AbstractContextManager[Report]]
"""Function that opens a named stage of work, such as `measuring`, and gives its progress report."""


@dataclass(frozen=True)
class EvaluationPlan:
    """Plan of an evaluation: what to measure, and on which data; made by `plan_evaluation`."""

    checkpoint: Checkpoint  # Checkpoint to measure
    records: RecordSet  # Prepared real images to compare with
    settings: EvaluationConfig  # Number of images, the seed, and the noise mode
    measures: tuple[str, ...]  # Names of the measures, in the order of `MEASURES`
    left_out: Mapping[str, str]
    """Missing needs of the measures that are left out, by the measure's name."""
    network: FeatureNetwork | None  # Network for features; None if no measure needs features


@dataclass(frozen=True)
class Material:
    """Inputs of all measures; features are None if no measure needs them."""

    plan: EvaluationPlan  # Plan of the evaluation
    fakes: GeneratedImages  # Generated images
    resolution: int  # Resolution of the images, in pixels
    features: Features | None = None  # Features of the generated images
    references: References | None = None  # Features of the training images
    mirrored: References | None = None
    """Features of all training images mirrored; None if not shown in training or not needed."""
    held_out: References | None = None
    """Features of the split `val`; None if the set has no such split."""

    @property
    def seed(self) -> int:
        """Seed of every random choice."""
        return self.plan.settings.seed

    @property
    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """Features of fakes and reals, as arrays."""
        assert self.features is not None
        assert self.references is not None
        return self.features.vectors, self.references.features.vectors

    @property
    def shown(self) -> np.ndarray:
        """Features of all images shown in training: reals, then their mirror images if any."""
        _, reals = self.vectors
        if self.mirrored is None:
            return reals
        return np.concatenate([reals, self.mirrored.features.vectors])

    @property
    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels of fakes and reals."""
        assert self.fakes.labels is not None
        assert self.references is not None
        return self.fakes.labels, self.references.labels

    def reals(self, count: int) -> Iterator[Images]:
        """Read the first `count` training images, in batches."""
        samples = images_of(self.plan.records, self.resolution, copies=False).take(count)
        for batch in samples.batch(READ_AT_A_TIME).as_numpy_iterator():
            yield batch["image"]


def material_for(run: RunFolder, plan: EvaluationPlan, stage: Stage) -> Material:
    """Generate images, and compute the features that the measures of a plan need.

    Raises:
        UserError: if the feature network does not accept the images.
        OSError: if features of real images cannot be cached.
    """
    records, settings, network = plan.records, plan.settings, plan.network
    painter = Painter(SavedNetworks(run, plan.checkpoint).sampler())
    resolution = painter.sampler.model.output_shape[1]
    labels = None
    if run.config().data.labels:
        labels = labels_like(labels_of(records), settings.images, seed=settings.seed)
    fakes = GeneratedImages(painter, settings.images, labels, settings.noise)
    if network is None:
        return Material(plan, fakes, resolution)
    # Keep the cache beside the prepared set, so that all runs on the set share it.
    cache = records.folder.parent / REFERENCES

    def extract_reals(title: str, **which: Any) -> References:
        with stage(f"features of {title}") as report:
            return references_for(records, resolution, network, cache, report=report, **which)

    references = extract_reals("real images")
    mirrored = held_out = None
    shows_mirrored = run.config().data.mirror or records.preparation.get("mirrored_copies")
    # The generator may also have memorised the mirror image of a training image.
    if "memorisation" in plan.measures and shows_mirrored:
        mirrored = extract_reals("real images, mirrored", mirrored=True)
    if records.size("val"):
        held_out = extract_reals("held-out images", split="val")
    with stage("features of generated images") as report:
        features = extract(network, fakes.batches(), total=settings.images, report=report)
    return Material(plan, fakes, resolution, features, references, mirrored, held_out)
