"""Remove evaluations when an alarm rolls training back to an earlier checkpoint."""

from __future__ import annotations

from pipeline.training.loop.listeners import Listener
from pipeline.training.position import RollBack
from pipeline.training_run.folder import RunFolder
from savedmodels import atomic


class RemoveEvaluations(Listener):
    """Listener of the training loop that removes evaluations of checkpoints that it discards."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run

    def rolled_back(self, roll_back: RollBack) -> None:
        """Remove evaluations of checkpoints after the one that training returns to."""
        for images_seen in self._run.evaluated():
            if images_seen > roll_back.to:
                atomic.remove_folder(self._run.evaluation(images_seen))
