"""Remove the evaluations that a rollback makes void."""

from __future__ import annotations

from pipeline.training.loop.listeners import Listener
from pipeline.training.position import RollBack
from pipeline.training_run.folder import RunFolder
from savedmodels import atomic


class RemoveEvaluations(Listener):
    """Listener that removes the evaluations of a run's checkpoints that a rollback discards."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run

    def rolled_back(self, roll_back: RollBack) -> None:
        """Remove evaluations of later checkpoints, which training will make again differently."""
        for images_seen in self._run.evaluated():
            if images_seen > roll_back.to:
                atomic.remove_folder(self._run.evaluation(images_seen))
