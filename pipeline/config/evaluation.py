"""Section `evaluation` of the configuration: metrics, features and numbers of images."""

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
    """Settings for scores of a model; docs/evaluation.md describes the metrics."""

    features: str | None = None
    """Feature network: `inception:FILE[?resize=clean]`, `keras:NAME[:WEIGHTS]`,
    `classifier:FOLDER` or `lenet:FILE`. Without one, only SWD and MS-SSIM can be measured."""
    metrics: tuple[Metric, ...] | None = None
    """Metrics to measure; None for all that are possible, except `path_length`."""
    images: Annotated[int, Field(ge=20, le=10_000_000)] = 10_000
    """Number of images to generate."""
    seed: Images = 0
    """Seed of the labels, subsets, patches and pairs that are drawn at random. Generated images
    always have the seeds 0, 1, 2 …"""
    noise: Literal["constant", "random"] = "constant"
    """Noise of generators with styles: `constant`, the exported maps for every image; or `random`,
    by seed, as in published scores."""
    fid_every_images: Count | None = None
    """Images between measurements of FID during training, with one more at the end of each
    phase; None for none. FID is then a metric of the run: `run.keep_best=fid` keeps the best."""
    fid_images: Annotated[int, Field(ge=2)] = 2_000
    """Number of images to generate for FID during training: few, because training waits."""

    @model_validator(mode="after")
    def _check_features(self) -> EvaluationConfig:
        if self.fid_every_images is not None and self.features is None:
            raise ValueError(
                "`evaluation.fid_every_images` needs `evaluation.features`. "
                f"Received: {self.fid_every_images} and none"
            )
        return self
