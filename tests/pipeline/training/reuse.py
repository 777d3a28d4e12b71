"""Training states and traced steps that are made once in a test session and used again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import Config
from pipeline.schedule import Phase
from pipeline.training.synthesis import phase_task, task
from pipeline.training.synthesis.phase_models import PhaseModels
from pipeline.training.synthesis.state import TrainingState
from pipeline.training.synthesis.step import SynthesisStep

NOT_TRAINED = {
    **dict.fromkeys(("data", "alarms", "evaluation", "gate", "schedule"), True),
    "run": {
        *("log_images", "sample_images", "checkpoint_images", "keep_checkpoints", "keep_best"),
        "keep_every_images",
        "keep_best_mode",
    },
}
"""Keys of a configuration that neither networks nor steps depend on."""


class Kept:
    """Variables with the values that they had when they were made."""

    def __init__(self) -> None:
        self._values: list[tuple[tf.Variable, np.ndarray]] = []
        self._seen: set[int] = set()

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keep every variable that TensorFlow makes in this block, whoever makes it.

        Not those of `PhaseModels`: one that checkpoints forget would be forgotten here as well.
        """
        made: list[tf.Variable] = []

        def create(following: Callable[..., tf.Variable], **given: Any) -> tf.Variable:
            made.append(following(**given))
            return made[-1]

        with tf.variable_creator_scope(create):
            yield
        for variable in made:
            if id(variable) not in self._seen:
                self._seen.add(id(variable))
                self._values.append((variable, variable.numpy()))

    def restore(self) -> None:
        """Give all of them back their first values."""
        for variable, value in self._values:
            variable.assign(value)


class ReusedStep(SynthesisStep):
    """A step whose traces the guard of quick tests does not count where the session shares it."""

    reused = False


class ReusedState:
    """A training state whose models and steps are the same objects each time it is used.

    Args:
        owners: Where it notes which models are its own, by their identity.
        shared: Whether all tests of the session use it.
        given: What `TrainingState` takes.
    """

    def __init__(self, owners: dict[int, ReusedState], shared: bool, **given: Any) -> None:
        self._owners = owners
        self._shared = shared
        self._kept = Kept()
        with self._kept.recording():
            self._state = TrainingState(**given)
        self._models: dict[Phase, tuple[PhaseModels, Kept]] = {}
        self._steps: dict[Any, ReusedStep] = {}

    def restore(self) -> None:
        """Make it as new: all variables have the values with which they were made."""
        self._kept.restore()
        for _, optimizers in self._models.values():
            optimizers.restore()

    def models_for(self, phase: Phase) -> PhaseModels:
        """Give the models of a phase, with blocks as they are and fresh optimizers."""
        if phase not in self._models:
            optimizers, blocks = Kept(), self._kept
            original = self._state._optimizer

            def optimizer(*arguments: Any, **given: Any) -> Any:
                with optimizers.recording():
                    return original(*arguments, **given)

            self._state._optimizer = optimizer
            with blocks.recording():
                models = self._state.models_for(phase)
            self._state._optimizer = original
            self._models[phase] = models, optimizers
            self._owners[id(models)] = self
        models, optimizers = self._models[phase]
        optimizers.restore()
        return models

    def step(
        self, config: Config, phase: Phase, models: PhaseModels, *more: Any, **named: Any
    ) -> ReusedStep:
        """A new step, which calls what an earlier one of the same kind has traced."""
        roll_backs = named.get("roll_backs", more[2] if len(more) > 2 else 0)
        with self._kept.recording():
            step = ReusedStep(config, phase, models, *more, **named)
        step.reused = self._shared
        traced = self._steps.setdefault((phase, roll_backs), step)
        for name in ("finish", "_critic", "_penalties", "_path_length"):
            setattr(step, name, getattr(traced, name))
        return step


class Reuse:
    """States by what they depend on.

    Args:
        shared: Whether they are for all tests of the session.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self._shared = shared
        self._states: dict[str, ReusedState] = {}
        self._of_models: dict[int, ReusedState] = {}

    def state(self, config: Config, *, label_size: int, strategy: Any) -> ReusedState:
        """Stands in for `TrainingState`."""
        others = label_size, config.data.channels, config.data.mirror, config.schedule.resolution
        key = f"{config.model_dump_json(exclude=NOT_TRAINED)} {others}"
        if key not in self._states:
            self._states[key] = ReusedState(
                self._of_models,
                self._shared,
                config=config,
                label_size=label_size,
                strategy=strategy,
            )
        self._states[key].restore()
        return self._states[key]

    def step(
        self,
        config: Config,
        phase: Phase,
        models: PhaseModels,
        strategy: Any,
        known: Mapping[str, float] | None = None,
        roll_backs: int = 0,
    ) -> SynthesisStep:
        """Stands in for `SynthesisStep`."""
        state = self._of_models[id(models)]
        return state.step(config, phase, models, strategy, known, roll_backs)

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Let trainers take their states and steps from here."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(task, "TrainingState", self.state)
            patch.setattr(phase_task, "SynthesisStep", self.step)
            yield

    def models_and_step(self, config: Config, index: int = 0) -> tuple[PhaseModels, SynthesisStep]:
        """The models of a phase, as if they were new, and their step.

        Args:
            config: Of the run.
            index: Number of the phase in the schedule.
        """
        strategy = tf.distribute.get_strategy()
        state = self.state(config, label_size=10 if config.data.labels else 0, strategy=strategy)
        phase = config.schedule.build().phases[index]
        models = state.models_for(phase)
        return models, self.step(config, phase, models, strategy)


REUSE = Reuse(shared=True)
"""States and steps of this test process."""
