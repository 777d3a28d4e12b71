"""Work on the pictures of a source in order, a run of them at a time, shared among processes."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from queue import SimpleQueue
from typing import Any, TypeVar

from pipeline.data.sources import Picture, Source, open_source
from pipeline.errors import UserError

RUN = 64
"""Pictures that a worker takes at a time; fixed, so that no sum depends on the worker count."""
CALLS_AHEAD = 3
"""Calls a worker, begun or waiting: enough to keep it busy, few enough to hold in memory."""
WORTH_SHARING = 8.0
"""Seconds of work still to come, as estimated, for which other processes are started: their start
takes one or two, so with two cores little is won before."""

Result = TypeVar("Result")
Work = Callable[[list[Picture]], Result]


def worked(spec: str, source: Source, work: Work[Result], workers: int | None) -> Iterator[Result]:
    """Apply `work` to the first 64 pictures of a source, to the next 64, and so on, in order.

    The runs do not depend on the number of workers, and so neither do the results. No more than a
    few runs a worker are in memory. Processes are started when the rest promises to take long.

    Args:
        spec: Spec as `open_source` takes it; each worker process opens the source anew.
        source: The same, opened.
        work: A function of pictures at the top of a module, so that another process can find it.
        workers: Processes, or None for one a core.

    Raises:
        UserError: if a worker was killed.
    """
    workers = workers or os.cpu_count() or 1
    seconds = 0.0
    for start in range(0, len(source), RUN):
        if workers > 1 and worth_sharing(seconds, start, len(source)):
            once = uuid.uuid4().hex
            calls = ((once, spec, start, work) for start in range(start, len(source), RUN))
            yield from shared(_work_from, calls, workers)
            return
        begun = time.monotonic()
        result = work(_run_of(source, start))
        seconds += time.monotonic() - begun
        yield result


def worth_sharing(seconds: float, done: int, total: int) -> bool:
    """Return whether the items that are left will probably take longer than `WORTH_SHARING`.

    Args:
        seconds: Time that the items so far took, in seconds.
        done: Number of items so far.
        total: Number of all items.

    Example:
        >>> worth_sharing(1.0, done=100, total=1000)
        True
    """
    return done > 0 and seconds / done * (total - done) > WORTH_SHARING


def shared(
    function: Callable[..., Result], calls: Iterable[tuple[Any, ...]], workers: int
) -> Generator[Result]:
    """Yield the results of calls in worker processes, in order.

    At most a few calls a worker are under way or waiting. When the generator is closed, the workers
    end at once, whatever they are at; they also end when this process does.

    Args:
        function: At the top of a module, so that another process can find it.
        calls: The arguments of each call.
        workers: Processes.

    Raises:
        UserError: if a worker was killed.
    """
    processes = [_Process() for _ in range(workers)]
    idle: SimpleQueue[_Process] = SimpleQueue()
    for process in processes:
        idle.put(process)

    def result_of(arguments: tuple[Any, ...]) -> Result:
        process = idle.get()
        try:
            result: Result = process.call(function, arguments)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            raise UserError(
                "workers must live until they are done; fewer need less memory. "
                f"Received: one of {workers} that was killed"
            ) from error
        finally:
            idle.put(process)
        return result

    ahead: deque[Future[Result]] = deque()
    threads = ThreadPoolExecutor(workers)
    try:
        for arguments in calls:
            ahead.append(threads.submit(result_of, arguments))
            if len(ahead) == CALLS_AHEAD * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        for process in processes:
            process.kill()
        threads.shutdown(cancel_futures=True)
        for process in processes:
            process.close()


@cache
def opened(once: str, spec: str) -> Source:
    """A source, opened once in a worker process.

    Args:
        once: Another text each time that the source may have changed.
        spec: Spec as `open_source` takes it.
    """
    return open_source(spec)


def _run_of(source: Source, start: int) -> list[Picture]:
    return [source[number] for number in range(start, min(start + RUN, len(source)))]


def _work_from(once: str, spec: str, start: int, work: Work[Result]) -> Result:
    return work(_run_of(opened(once, spec), start))


class _Process:
    """A Python process that makes one call after another, over a pair of pipes of its own.

    A pool of the standard library, or of joblib, has one pipe for the results of all its workers:
    if one is killed while it writes there, the others and their parent wait for ever. Here the
    parent alone reads the pipe, and sees its end.

    It starts afresh, as forking a process that runs threads may hang, but does not run the main
    script again.
    """

    def __init__(self) -> None:
        start = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"
        # Ctrl-C in a terminal, and the SIGTERM of some schedulers, go to the workers as well, but
        # are left to the parent: signals blocked here are blocked there from its first moment.
        stopping = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", start],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # There is a process for every core already.
                env={"OMP_NUM_THREADS": "1", **os.environ},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._calls, self._results = self._process.stdin, self._process.stdout

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Call a function there; return or raise what it does, or EOFError if the process ended."""
        pickle.dump((function, arguments), self._calls)
        self._calls.flush()
        result, error = pickle.load(self._results)
        if error is not None:
            raise error
        return result

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        with suppress(BrokenPipeError), self._process:
            pass


def serve() -> None:
    """Serve in a worker process: make the calls that come by stdin until there are no more."""
    calls, results = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What a library prints must not come among the results.
    with suppress(EOFError, BrokenPipeError):
        while True:
            function, arguments = pickle.load(calls)
            result, error = None, None
            try:
                result = function(*arguments)
            except Exception as raised:
                error = raised
            pickle.dump((result, error), results)
            results.flush()
