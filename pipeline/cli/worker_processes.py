"""Run `growgan train --workers N`: N worker processes on this machine, as one command."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pipeline.cli.interruption import heeded_signals
from pipeline.exit_status import WORKER_GONE, of_signal
from pipeline.orchestration.parent_process import die_with_parent
from pipeline.training.distributed.cluster import Cluster, require_shares

if TYPE_CHECKING:
    from pipeline.config import Config

GRACE = 10.0
"""Seconds for other workers to end after one has failed; then they are killed."""
_POLL = 0.05


def start_workers(settings: Config, count: int) -> int:
    """Run this command again in `count` processes as workers, and return their joint status."""
    require_shares(settings, count)  # Fail here, before each worker does so.
    return run_workers([sys.executable, "-m", "pipeline.cli", *sys.argv[1:]], count)


def run_workers(command: Sequence[str], count: int) -> int:
    """Run a command in `count` processes as the workers of a run; returns their joint status.

    Each finds the cluster in TF_CONFIG. Signals are passed on, and Ctrl-C as a second signal ends
    all at once.
    """
    addresses = free_addresses(count)
    signals: list[int] = []
    for number in heeded_signals():
        signal.signal(number, lambda number, _: signals.append(number))
    with ExitStack() as files:
        errors = [files.enter_context(tempfile.TemporaryFile()) for _ in range(count)]
        workers = [
            subprocess.Popen(
                command,
                env={**os.environ, "TF_CONFIG": Cluster(addresses, index).tf_config()},
                stdin=subprocess.DEVNULL,
                # Only the chief has something to print.
                stdout=subprocess.DEVNULL if index else None,
                # Kept until all have ended: only then is it known whose end caused the others'.
                stderr=error,
                # A separate group: Ctrl-C reaches a whole group, so workers would get it twice.
                process_group=0,
                # A killed command must not leave its workers behind.
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
            for index, error in enumerate(errors)
        ]
        statuses = _statuses(workers, signals)
        for error in errors:
            error.seek(0)  # Workers have moved the place in the file that they share with us.
        texts = [error.read().decode(errors="replace") for error in errors]
        return _told(statuses, texts, signals)


def free_addresses(count: int) -> tuple[str, ...]:
    """Find `count` free addresses of this machine, `127.0.0.1:port`."""
    with ExitStack() as sockets:  # All open at once, so that no port repeats.
        listening = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in listening:
            each.bind(("127.0.0.1", 0))
        return tuple(f"127.0.0.1:{each.getsockname()[1]}" for each in listening)


def _statuses(workers: Sequence[subprocess.Popen[bytes]], signals: Sequence[int]) -> dict[int, int]:
    """Wait for all workers, and return their exit statuses in the order of their ends."""
    statuses: dict[int, int] = {}
    failed: float | None = None
    passed_on = 0
    while len(statuses) < len(workers):
        for number in signals[passed_on:]:
            passed_on += 1
            # A service manager signals workers too: a second SIGTERM says nothing new.
            if passed_on > 1 and number != signal.SIGINT:
                continue
            for worker in workers:
                # A second Ctrl-C means not to wait for checkpoints.
                worker.send_signal(number if passed_on == 1 else signal.SIGKILL)
        for index, worker in enumerate(workers):
            status = worker.poll()
            if status is None and failed is not None and time.monotonic() > failed + GRACE:
                worker.kill()
            elif status is not None and index not in statuses:
                statuses[index] = status
                # Others may hang in an exchange with the failed one, so their time starts now.
                if status and failed is None:
                    failed = time.monotonic()
        time.sleep(_POLL)
    return statuses


def _told(statuses: dict[int, int], errors: Sequence[str], signals: Sequence[int]) -> int:
    """Print the errors of workers, and return the exit status that explains them."""
    first = next(
        (index for index, status in statuses.items() if status not in (0, WORKER_GONE)), None
    )
    # A worker that only noticed another one's end has nothing to say beside that one's reason.
    told = [i for i in range(len(errors)) if first is None or statuses[i] != WORKER_GONE]
    for text in dict.fromkeys(errors[index] for index in told):  # each text once
        sys.stderr.write(text)
    if first is None:
        return max(statuses.values())
    status = statuses[first]
    if status >= 0:
        return status
    if signals:  # Told by a person or service, so the worker's death needs no line.
        return of_signal(signals[0])
    print(
        "growgan: a run ends with any of its workers; to go on, repeat the command with --resume "
        f"auto. Received: {signal.Signals(-status).name} in worker {first} of {len(errors)}, "
        "counted from 0",
        file=sys.stderr,
    )
    return WORKER_GONE
