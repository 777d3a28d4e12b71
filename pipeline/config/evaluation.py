"""Section `evaluation`: how scores are made."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.section import Count, Images, Section

Metric = Literal[
    "fid",
    "kid",
    "inception_score",
    "precision_recall",
    "swd",
    "ms_ssim",
    "path_length",
    "feature_distance",
    "memorisation",
    "classification_accuracy",
]


class EvaluationConfig(Section):
    """Measurement of a model; docs/evaluation.md has the scores."""

    features: str | None = None
    """What gives features: `inception:FILE[?resize=clean]`, `keras:NAME[:WEIGHTS]`,
    `classifier:FOLDER` or `lenet:FILE`. Without any, only SWD and MS-SSIM can be measured."""
    metrics: tuple[Metric, ...] | None = None
    """Measures, None for all that can be made, but `path_length`."""
    images: Annotated[int, Field(ge=20, le=10_000_000)] = 10_000
    """Images that are generated."""
    seed: Images = 0
    """Seed of labels, subsets, patches and pairs. Images are those of the seeds from 0 on."""
    noise: Literal["constant", "random"] = "constant"
    """Noise of generators with styles: the maps that are exported with them, which are the same for
    every image, or others by seed, as published scores have it."""
    fid_every_images: Count | None = None
    """Images between two measurements of FID while a run trains, which also come at the end of each
    phase; None for none. It is a metric like others: `run.keep_best=fid` keeps the best."""
    fid_images: Annotated[int, Field(ge=2)] = 2_000
    """Images that are generated for such a measurement: less than for `images`, as training waits
    for it."""

    @model_validator(mode="after")
    def _fid_has_features(self) -> EvaluationConfig:
        if self.fid_every_images is not None and self.features is None:
            raise ValueError(
                "`evaluation.fid_every_images` needs `evaluation.features`. "
                f"Received: {self.fid_every_images} and none"
            )
        return self
