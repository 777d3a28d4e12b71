"""Start and watch the N worker processes of `growgan train --workers N` on this machine."""

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

from pipeline.cli.interruption import stop_signals
from pipeline.exit_status import WORKER_GONE, of_signal
from pipeline.orchestration.parent_process import die_with_parent
from pipeline.training.distributed.cluster import Cluster, require_shares

if TYPE_CHECKING:
    from pipeline.config import Config

GRACE = 10.0  # Seconds for other workers to end after one has failed; then they are killed.
_POLL = 0.05  # Seconds between checks of the workers.


def start_workers(settings: Config, count: int) -> int:
    """Run the current command line in `count` worker processes; returns their joint status."""
    require_shares(settings, count)  # Fail once here, not once in each worker.
    return run_workers([sys.executable, "-m", "pipeline.cli", *sys.argv[1:]], count)


def run_workers(command: Sequence[str], count: int) -> int:
    """Run a command in `count` processes as the workers of a run; returns their joint status.

    Each worker reads the cluster from TF_CONFIG. Signals are passed on; a second Ctrl-C kills all.
    """
    addresses = free_addresses(count)
    signals: list[int] = []
    for number in stop_signals():
        signal.signal(number, lambda number, _: signals.append(number))
    with ExitStack() as files:
        errors = [files.enter_context(tempfile.TemporaryFile()) for _ in range(count)]
        workers = [
            subprocess.Popen(
                command,
                env={**os.environ, "TF_CONFIG": Cluster(addresses, index).tf_config()},
                stdin=subprocess.DEVNULL,
                # Only the chief, worker 0, prints results.
                stdout=subprocess.DEVNULL if index else None,
                # Keep errors until all have ended: only then is it known which worker failed first.
                stderr=error,
                # Use a separate process group: Ctrl-C reaches a whole group, and we pass it on too.
                process_group=0,
                # Kill workers when this process is killed.
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
            for index, error in enumerate(errors)
        ]
        statuses = _wait_for_all(workers, signals)
        for error in errors:
            error.seek(0)  # Workers share our file offset, and have moved it.
        texts = [error.read().decode(errors="replace") for error in errors]
        return _report_errors(statuses, texts, signals)


def free_addresses(count: int) -> tuple[str, ...]:
    """Find `count` free addresses of this machine, `127.0.0.1:port`."""
    with ExitStack() as sockets:  # Hold all open together, so that ports differ.
        listening = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in listening:
            each.bind(("127.0.0.1", 0))
        return tuple(f"127.0.0.1:{each.getsockname()[1]}" for each in listening)


def _wait_for_all(
    workers: Sequence[subprocess.Popen[bytes]], signals: Sequence[int]
) -> dict[int, int]:
    """Wait for all workers, and return their exit statuses in the order in which they ended."""
    statuses: dict[int, int] = {}
    failed: float | None = None
    passed_on = 0
    while len(statuses) < len(workers):
        for number in signals[passed_on:]:
            passed_on += 1
            # Drop a repeated SIGTERM, which a service manager may send to workers as well.
            if passed_on > 1 and number != signal.SIGINT:
                continue
            for worker in workers:
                # Kill on a second Ctrl-C: the user will not wait for checkpoints.
                worker.send_signal(number if passed_on == 1 else signal.SIGKILL)
        for index, worker in enumerate(workers):
            status = worker.poll()
            if status is None and failed is not None and time.monotonic() > failed + GRACE:
                worker.kill()
            elif status is not None and index not in statuses:
                statuses[index] = status
                # Start the grace period: others may hang in an exchange with the failed worker.
                if status and failed is None:
                    failed = time.monotonic()
        time.sleep(_POLL)
    return statuses


def _report_errors(statuses: dict[int, int], errors: Sequence[str], signals: Sequence[int]) -> int:
    """Print the errors of workers, and return the exit status that explains them."""
    first = next(
        (index for index, status in statuses.items() if status not in (0, WORKER_GONE)), None
    )
    # Skip workers that only noticed another's end; the first failure has the reason.
    reporting = [i for i in range(len(errors)) if first is None or statuses[i] != WORKER_GONE]
    for text in dict.fromkeys(errors[index] for index in reporting):  # each text once
        sys.stderr.write(text)
    if first is None:
        return max(statuses.values())
    status = statuses[first]
    if status >= 0:
        return status
    if signals:  # A person or service asked for the end, so print nothing.
        return of_signal(signals[0])
    print(
        "growgan: a run ends with any of its workers; to go on, repeat the command with --resume "
        f"auto. Received: {signal.Signals(-status).name} in worker {first} of {len(errors)}, "
        "counted from 0",
        file=sys.stderr,
    )
    return WORKER_GONE
