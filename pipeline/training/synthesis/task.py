"""Synthesis as a `Task` of the training loop, the protocol in loop/task.py."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from pipeline.config import Config
from pipeline.data.records import RecordSet
from pipeline.schedule import Phase
from pipeline.training.alarms.thresholds import Reading
from pipeline.training.synthesis.diversity import Diversity
from pipeline.training.synthesis.phase_task import SynthesisPhase
from pipeline.training.synthesis.readings import readings_of
from pipeline.training.synthesis.state import TrainingState


class Synthesis:
    """Task that trains a generator (latents → images) against a discriminator.

    Args:
        config: Configuration of the run.
        records: Prepared images to train on.
        strategy: The `tf.distribute` strategy.
    """

    measured = ("diversity",)

    def __init__(
        self, config: Config, records: RecordSet, strategy: tf.distribute.Strategy
    ) -> None:
        self._config = config
        self._records = records
        self._strategy = strategy
        self._classes = len(records.classes) if config.data.labels else 0
        self.data_hash = records.data_hash
        self._state = self._new_state()
        self._diversity = Diversity(config, records) if config.alarms.collapse != "ignore" else None

    def _new_state(self) -> TrainingState:
        return TrainingState(self._config, label_size=self._classes, strategy=self._strategy)

    def reset(self) -> None:
        """Initialise all networks again, from the seed of the run."""
        self._state = self._new_state()

    def phase(self, phase: Phase) -> SynthesisPhase:
        """Build the models of a phase on the blocks of earlier ones, with fresh optimizers."""
        return SynthesisPhase(
            self._config,
            self._records,
            self._strategy,
            phase,
            self._state.models_for(phase),
            self._classes,
            self._diversity,
        )

    def readings(self, metrics: Mapping[str, float]) -> list[Reading]:
        """Read gradients, scores, penalty and diversity, as far as the metrics have them."""
        return readings_of(metrics, self._config.alarms, self._config.objective.penalty)
