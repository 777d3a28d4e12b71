"""Stop all workers of a run after the same step, with one exit status."""

from __future__ import annotations

from collections.abc import Callable

from pipeline import exit_status
from pipeline.training.distributed.workers import Workers
from pipeline.training.loop.stopping import StopAfterStage, TimeLimit

STAGE_END = 1
"""Status that workers exchange at the end of a stage; statuses of other reasons are larger."""


class JointStop:
    """Stop condition shared by all workers: if one has a reason to stop, all do.

    Args:
        workers: Workers of the run.
        interrupted: Function that returns the exit status of a received signal, 0 if there is none.
        deadline: Time limit, or None.
        stage_end: Condition to stop after a stage, or None.
    """

    def __init__(
        self,
        workers: Workers,
        interrupted: Callable[[], int],
        deadline: TimeLimit | None = None,
        stage_end: StopAfterStage | None = None,
    ) -> None:
        self._workers = workers
        self._interrupted = interrupted
        self._deadline = deadline
        self._stage_end = stage_end
        self.status = 0

    def __call__(self) -> bool:
        """Return true in every worker if one of them must stop; sets `status`, the largest."""
        mine = self._interrupted()
        if not mine and self._deadline is not None and self._deadline():
            mine = exit_status.AGAIN
        if not mine and self._stage_end is not None and self._stage_end():
            mine = STAGE_END
        # All workers must stop at the same step, or collectives wait for ever.
        self.status = max(self._workers.numbers(mine))
        return bool(self.status)
