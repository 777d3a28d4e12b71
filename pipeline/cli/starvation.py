"""End a process whose run waits for a batch in vain."""

from __future__ import annotations

import os
import sys

from pipeline import exit_status
from pipeline.training.loop.listeners import Listener


class ExitOnStarvation(Listener):
    """Listener that ends the process if `alarms.starvation` is `stop`, as the loop cannot."""

    def starved(self, seconds: float, *, stop: bool) -> None:
        """Exit at once, because TensorFlow would wait for the batch even in a clean exit."""
        if stop:
            print(
                f"growgan: alarm starvation: no batch has come for {seconds:.0f} s. The run is "
                "stopped; its last good checkpoint is kept",
                file=sys.stderr,
                # `os._exit` does not flush.
                flush=True,
            )
            os._exit(exit_status.ALARM)
