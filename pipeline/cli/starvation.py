"""The end of a process whose run waits for a batch that does not come."""

from __future__ import annotations

import os
import sys

from pipeline import exit_status
from pipeline.training.loop.listeners import Listener


class ExitOnStarvation(Listener):
    """End the process where `alarms.starvation` is `stop`, for the loop cannot."""

    def starved(self, seconds: float, *, stop: bool) -> None:
        """Exit at once, as TensorFlow would wait for the batch even at a clean end."""
        if stop:
            print(
                f"growgan: alarm starvation: no batch has come for {seconds:.0f} s. The run is "
                "stopped; its last good checkpoint is kept",
                file=sys.stderr,
                flush=True,
            )
            os._exit(exit_status.ALARM)
