"""Work on the pictures of a source in order, a run of them at a time, shared among processes."""

from __future__ import annotations

import itertools
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

import joblib

from pipeline.data.sources import Picture, Source, open_source
from pipeline.errors import UserError

RUN = 64
"""Pictures that a worker takes at a time."""
RUNS_AHEAD = 3
"""Runs a worker, begun or waiting: enough to keep it busy, few enough to hold in memory."""
IDLE_SECONDS = 5
"""After which a worker without work ends."""
WORTH_SHARING = 8.0
"""Seconds of work still to come, as estimated, for which other processes are started: their start
takes two or three, so with two cores little is won before."""

Result = TypeVar("Result")
Work = Callable[[list[Picture]], Result]


def worked(spec: str, source: Source, work: Work[Result], workers: int | None) -> Iterator[Result]:
    """What `work` makes of the first 64 pictures of a source, of the next 64, and so on, in order.

    The runs do not depend on the number of workers, and so neither do the results. No more than a
    few runs a worker are in memory. Processes are started when the rest promises to take long.

    Args:
        spec: What `open_source` takes; each worker process opens the source anew.
        source: The same, opened.
        work: A function of pictures at the top of a module, so that another process can find it.
        workers: Processes, or None for one a core.

    Raises:
        UserError: if a worker was killed.
    """
    workers = workers or os.cpu_count() or 1
    seconds = 0.0
    for start in range(0, len(source), RUN):
        if workers > 1 and start and seconds / start * (len(source) - start) > WORTH_SHARING:
            once = uuid.uuid4().hex
            starts = range(start, len(source), RUN)
            tasks = (joblib.delayed(_work_from)(once, spec, start, work) for start in starts)
            yield from shared(tasks, workers)
            return
        begun = time.monotonic()
        result = work(_run_of(source, start))
        seconds += time.monotonic() - begun
        yield result


def shared(tasks: Iterable[Any], workers: int) -> Generator[Any]:
    """What worker processes make of tasks, in order; at most a few tasks a worker wait in memory.

    Args:
        tasks: Calls of a function that begins with `end_with_parent()`, made by `joblib.delayed`.
        workers: Processes.

    Raises:
        UserError: if a worker was killed.
    """
    given_up = False

    def wanted() -> Iterator[Any]:
        for task in tasks:
            if given_up:
                return
            yield task

    # Loky's processes start afresh, as forking one that runs threads may hang, but do not run the
    # main script again.
    with joblib.parallel_config("loky", n_jobs=workers, idle_worker_timeout=IDLE_SECONDS):
        ahead = RUNS_AHEAD * workers
        results = joblib.Parallel(return_as="generator", batch_size=1, pre_dispatch=ahead)(wanted())
    try:
        # Not `yield from results`, which would close them before `finally` is reached.
        yield from itertools.chain(results)
    except BrokenProcessPool as error:
        raise UserError(
            "workers must live until they are done; fewer need less memory. "
            f"Received: one of {workers} that was killed"
        ) from error
    finally:
        # The few tasks that were begun are waited for: cut short, Loky may trip over itself.
        given_up = True
        with suppress(BrokenProcessPool):
            deque(results, maxlen=0)


@cache
def opened(once: str, spec: str) -> Source:
    """A source, opened once in a worker process.

    Args:
        once: Another text each time that the source may have changed.
        spec: What `open_source` takes.
    """
    return open_source(spec)


def _run_of(source: Source, start: int) -> list[Picture]:
    return [source[number] for number in range(start, min(start + RUN, len(source)))]


def _work_from(once: str, spec: str, start: int, work: Work[Result]) -> Result:
    end_with_parent()
    return work(_run_of(opened(once, spec), start))


@cache
def end_with_parent() -> None:
    """Let this worker end when its parent is killed; Loky would leave it waiting for ever."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
