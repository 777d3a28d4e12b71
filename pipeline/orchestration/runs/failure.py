"""Failures of a pipeline run: the record, an exception to raise in steps, and a classifier."""

from __future__ import annotations

from pipeline.errors import AlarmError, UserError, WorkerGone
from pipeline.errors.system import may_pass
from pipeline.evaluation.scores import JsonRecord
from pipeline.exit_status import AGAIN, ALARM, GATE, USER
from pipeline.orchestration.runs.outcome import Ending, Line
from savedmodels.repository.errors import GateRefused, RepositoryError


class RunFailure(JsonRecord):
    """Failure of a run or a step, as the run's state records it."""

    reason: Line
    ending: Ending = "failed"
    """Ending of the run if no retry succeeds."""
    status: int = USER
    """Exit status of `growgan pipeline run` for this failure."""
    may_pass: bool = False
    """True if a retry may succeed with nothing changed."""


class StepFailed(Exception):
    """Failure that a step raises; its arguments are the fields of `RunFailure`."""

    def __init__(
        self,
        reason: str,
        *,
        ending: Ending = "failed",
        status: int = USER,
        may_pass: bool = False,
    ) -> None:
        self.failure = RunFailure(reason=reason, ending=ending, status=status, may_pass=may_pass)
        super().__init__(self.failure.reason)


def failure_of(error: BaseException) -> RunFailure:
    """Classify any error: bad input is final, an unexpected error may pass."""
    match error:
        case StepFailed():
            return error.failure
        case GateRefused():
            return RunFailure(reason=str(error), ending="gate failed", status=GATE)
        case UserError() | RepositoryError():
            # Retry if a full disk or other passing error is the cause.
            passes = may_pass(error)
            return RunFailure(reason=str(error), status=AGAIN if passes else USER, may_pass=passes)
        case AlarmError():
            return RunFailure(reason=str(error), ending="alarm", status=ALARM)
        case WorkerGone():  # Another attempt starts all workers again.
            return RunFailure(reason=str(error), status=AGAIN, may_pass=True)
        case PermissionError():
            # Do not retry: waiting does not change permissions.
            return RunFailure(reason=f"a file must be readable and writable. Received: {error}")
        case OSError():
            reason = f"a file could not be read or written: {error}"
            return RunFailure(reason=reason, status=AGAIN, may_pass=True)
        case Exception():
            reason = f"{type(error).__name__}: {error}"
            return RunFailure(reason=reason, status=AGAIN, may_pass=True)
        case _:  # KeyboardInterrupt or another exception that a signal raises.
            reason = f"stopped: {error}" if str(error) else "stopped by a signal"
            return RunFailure(reason=reason, ending="interrupted", status=AGAIN, may_pass=True)
