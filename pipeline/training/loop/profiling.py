"""Profiler traces of a few training steps (`--profile`), for TensorBoard."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.training.loop.checkpoints import DamagedCheckpoint
from pipeline.training.loop.listeners import Listener


@dataclass(frozen=True)
class Steps:
    """Range of steps to trace, counted from 1 at the start of the command, with both ends."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> Steps:
        """Parse `10,20`, or `10` for one step."""
        match = re.fullmatch(r"(\d+)(?:,(\d+))?", text)
        steps = cls(int(match[1]), int(match[2] or match[1])) if match else cls(0, 0)
        if not 1 <= steps.first <= steps.last:
            raise UserError(
                "`--profile` must be the first and the last step to trace, counted from 1, such as "
                f"10,20. Received: {text}"
            )
        return steps


class Profile(Listener):
    """Listener that traces steps into `plugins/profile/` of a folder, where TensorBoard looks.

    Use it as a context manager: it writes the trace on exit, even if the run ends early.
    """

    def __init__(self, folder: Path, steps: Steps) -> None:
        self._folder = folder
        self._steps = steps
        self._done = 0
        self._step: Any = None
        self.written = False

    def __enter__(self) -> Profile:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_step(last=True)

    def started(self, images_seen: int, damaged: Sequence[DamagedCheckpoint]) -> None:
        """Begin a trace, if the first step is to be traced."""
        if self._step is None:  # A roll back starts the run again, maybe during a trace.
            self._begin_step()

    def stepped(self) -> None:
        """End the trace of a step, and begin the next."""
        self._done += 1
        # A trace runs from step end to step end, to include listeners and waiting for the batch.
        self._end_step(last=self._done == self._steps.last)
        self._begin_step()

    def _begin_step(self) -> None:
        number = self._done + 1
        if self._steps.first <= number <= self._steps.last:
            import tensorflow as tf  # Takes seconds, and parsing options does not need it.

            if number == self._steps.first:
                tf.profiler.experimental.start(str(self._folder))
            self._step = tf.profiler.experimental.Trace("train", step_num=number, _r=1)
            self._step.__enter__()

    def _end_step(self, *, last: bool) -> None:
        if self._step is not None:
            self._step.__exit__(None, None, None)
            self._step = None
            if last:
                import tensorflow as tf

                tf.profiler.experimental.stop()
                self.written = True
