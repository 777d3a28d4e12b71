"""Configuration of a run: one frozen pydantic model per section; unknown keys are errors."""

from __future__ import annotations

from pydantic import model_validator

from pipeline.config.alarms import AlarmsConfig
from pipeline.config.augmentation import (
    COLOR,
    GEOM,
    PIPELINES,
    AugmentationConfig,
    Transform,
)
from pipeline.config.data import DataConfig
from pipeline.config.evaluation import EvaluationConfig
from pipeline.config.gate import GateConfig
from pipeline.config.objective import SIGNED_LOSSES, LossName, ObjectiveConfig, PenaltyName
from pipeline.config.optimizer import OptimizerConfig
from pipeline.config.run import RunConfig
from pipeline.config.schedule import ScheduleConfig
from pipeline.families.sections import DEFAULT_NETWORK, NetworkSection
from pipeline.section import Rate, Section
from pipeline.shape import is_power_of_two, level_shapes, start_shape

__all__ = [
    "COLOR",
    "GEOM",
    "PIPELINES",
    "AlarmsConfig",
    "AugmentationConfig",
    "Config",
    "DataConfig",
    "EvaluationConfig",
    "GateConfig",
    "LossName",
    "ObjectiveConfig",
    "OptimizerConfig",
    "PenaltyName",
    "Rate",
    "RunConfig",
    "Section",
    "Transform",
]


class Config(Section):
    """Configuration of a run: one field per section, and the rules between sections."""

    data: DataConfig = DataConfig()
    network: NetworkSection = DEFAULT_NETWORK
    """Keys of the networks; `network.family` decides which keys there are."""
    objective: ObjectiveConfig = ObjectiveConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    schedule: ScheduleConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    run: RunConfig = RunConfig()
    alarms: AlarmsConfig = AlarmsConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gate: GateConfig = GateConfig()

    @model_validator(mode="after")
    def _check_steering(self) -> Config:
        # With other losses, the sign of a score does not separate reals from fakes.
        if self.augmentation.steered and self.objective.loss not in SIGNED_LOSSES:
            raise ValueError(
                "`augmentation.kind=ada` steers p by the sign of scores, which tells reals from "
                f"fakes with `objective.loss` {', '.join(SIGNED_LOSSES)}; with others fix "
                f"`augmentation.probability`. Received: {self.objective.loss}"
            )
        return self

    @model_validator(mode="after")
    def _check_growth(self) -> Config:
        first, last = self.schedule.start_resolution, self.schedule.resolution
        if not self.network.grows and first != last:
            raise ValueError(
                f"`network.family={self.network.family}` does not grow: "
                "`schedule.start_resolution` must be `schedule.resolution`. "
                f"Received: {first} and {last}"
            )
        height, width = self.schedule.shape
        if self.network.grows and not (height == width and is_power_of_two(height)):
            raise ValueError(
                f"`network.family={self.network.family}` grows from 4 px and needs squares: "
                "`schedule.resolution` must be a power of two, and `schedule.width` null. "
                f"Received: {height} and {self.schedule.width or 'null'}"
            )
        return self

    @model_validator(mode="after")
    def _check_frozen_blocks(self) -> Config:
        frozen, schedule = self.optimizer.frozen_from, self.schedule
        if frozen is not None and not (schedule.start_resolution == schedule.resolution >= frozen):
            raise ValueError(
                "`optimizer.frozen_from` must be at most `schedule.resolution`, in a run of one "
                "size: others begin with blocks that were never trained. Received: "
                f"{frozen}, and from {schedule.start_resolution} to {schedule.resolution} px"
            )
        return self

    @model_validator(mode="after")
    def _check_feature_maps_and_batches(self) -> Config:
        schedule = self.schedule
        stages = len(level_shapes(start_shape(schedule.shape), schedule.resolution))
        if self.network.fmap_base < 2**stages:
            raise ValueError(
                "`network.fmap_base` must leave a feature map at the last resolution: at least "
                f"{2**stages}. Received: {self.network.fmap_base}"
            )
        if self.run.micro_batch is not None and self.run.micro_batch < self.network.stddev_group:
            raise ValueError(
                "`run.micro_batch` must be at least `network.stddev_group`: smaller "
                "micro-batches would change the groups of the minibatch deviation. "
                f"Received: {self.run.micro_batch} and {self.network.stddev_group}"
            )
        # Check every phase now: a step would fail only once the run reaches its phase.
        for phase in self.schedule.build().phases:
            group = min(self.network.stddev_group, phase.batch_size)
            if phase.batch_size % group:
                raise ValueError(
                    "`schedule.batch_size` must be a multiple of `network.stddev_group`. "
                    f"Received: {phase.batch_size} at {phase.resolution} px and {group}"
                )
        return self
