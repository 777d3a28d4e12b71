"""Why a step failed, and what follows from it."""

from __future__ import annotations

from pipeline.errors import AlarmError, UserError, WorkerGone
from pipeline.errors.system import may_pass
from pipeline.exit_status import AGAIN, ALARM, GATE, USER
from pipeline.orchestration.outcome import Ending, one_line
from savedmodels.repository.errors import GateRefused, RepositoryError


class StepFailed(Exception):
    """A step has failed.

    Args:
        reason: Reason in one line.
        ending: Ending of the run, if it ends with this.
        status: Status of the command that ran it.
        may_pass: Whether another attempt may succeed with nothing changed.
    """

    def __init__(
        self,
        reason: str,
        *,
        ending: Ending = "failed",
        status: int = USER,
        may_pass: bool = False,
    ) -> None:
        super().__init__(one_line(reason))
        self.reason = one_line(reason)
        self.ending = ending
        self.status = status
        self.may_pass = may_pass


def failure_of(error: BaseException) -> StepFailed:
    """Turn an error of any kind into the failure of a step.

    A mistake of input stays one; a full disk, a lost worker and what nobody foresaw may pass.
    """
    match error:
        case StepFailed():
            return error
        case UserError() | RepositoryError() if not isinstance(error, GateRefused):
            passes = may_pass(error)
            return StepFailed(str(error), status=AGAIN if passes else USER, may_pass=passes)
        case GateRefused():
            return StepFailed(str(error), ending="gate failed", status=GATE)
        case AlarmError():
            return StepFailed(str(error), ending="alarm", status=ALARM)
        case WorkerGone():
            return StepFailed(str(error), status=AGAIN, may_pass=True)
        case PermissionError():
            return StepFailed(f"a file must be readable and writable. Received: {error}")
        case OSError():
            reason = f"a file could not be read or written: {error}"
            return StepFailed(reason, status=AGAIN, may_pass=True)
        case Exception():
            reason = f"{type(error).__name__}: {error}"
            return StepFailed(reason, status=AGAIN, may_pass=True)
        case _:  # Told to stop.
            reason = f"stopped: {error}" if str(error) else "stopped by a signal"
            return StepFailed(reason, ending="interrupted", status=AGAIN, may_pass=True)
