"""Map a function over chunks of a source's pictures, in order, in worker processes."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from queue import SimpleQueue
from typing import Any, TypeVar

from pipeline.data.sources import Source, open_source
from pipeline.errors import UserError

CALLS_AHEAD = 3
"""Calls per worker, running or waiting: enough to keep it busy, few enough for memory."""
WORTH_SHARING = 8.0
"""Seconds of estimated remaining work above which worker processes are started: they take one or
two seconds to start, so with two cores they save little time on less work."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Source, Sequence[Item]], Result]


def map_in_chunks(
    spec: str,
    source: Source,
    work: Work[Item, Result],
    items: Sequence[Item],
    *,
    size: int,
    workers: int | None,
) -> Generator[Result]:
    """Apply `work` to a source and each chunk of items; yield the results in order.

    Chunks, and so results, do not depend on the number of workers. Worker processes are started
    only if the remaining work is worth it.

    Args:
        spec: Source as for `open_source`; each worker process opens it again.
        source: Opened source of that name.
        work: Function of the source and a chunk, which other processes can import from a module.
        items: One item per picture, such as its index.
        size: Items per chunk.
        workers: Number of processes; None for one per core.

    Raises:
        UserError: if a worker was killed.
    """
    workers = workers or os.cpu_count() or 1
    seconds = 0.0
    for start in range(0, len(items), size):
        if workers > 1 and worth_sharing(seconds, start, len(items)):
            key = uuid.uuid4().hex
            starts = range(start, len(items), size)
            calls = ((key, spec, work, items[each : each + size]) for each in starts)
            yield from call_in_workers(_open_and_work, calls, workers)
            return
        # Time only the work, not what the consumer does between two results.
        begun = time.monotonic()
        result = work(source, items[start : start + size])
        seconds += time.monotonic() - begun
        yield result


def worth_sharing(seconds: float, done: int, total: int) -> bool:
    """Return True if the remaining items will probably take longer than `WORTH_SHARING`.

    Example:
        >>> worth_sharing(1.0, done=100, total=1000)
        True
    """
    return done > 0 and seconds / done * (total - done) > WORTH_SHARING


def call_in_workers(
    function: Callable[..., Result], calls: Iterable[tuple[Any, ...]], workers: int
) -> Generator[Result]:
    """Call a function in worker processes, once per tuple of arguments; yield results in order.

    Workers end at once when the generator is closed, and when this process ends.

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
            # Limit the calls ahead, because their results wait in memory for their turn.
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
def open_once(key: str, spec: str) -> Source:
    """Open a source, memoised per process; a new key opens it again, as it may have changed."""
    return open_source(spec)


def _open_and_work(key: str, spec: str, work: Work[Item, Result], items: Sequence[Item]) -> Result:
    return work(open_once(key, spec), items)


class _Process:
    """Python process that runs one call after another, over its own pair of pipes.

    A pool of the standard library, or of joblib, has one pipe for the results of all workers: if a
    worker is killed while it writes, the others and the parent wait for ever. Here each worker
    has its own pipes, so the parent notices when one ends.
    """

    def __init__(self) -> None:
        # Start a new interpreter: forking a process with threads may hang. Unlike multiprocessing's
        # `spawn`, this does not run the main script again.
        start = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"
        # Block these signals in workers, because only the parent must handle them: Ctrl-C in a
        # terminal, and SIGTERM of some schedulers, reach workers too. A process inherits the mask.
        stopping = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", start],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # Use one thread, because there is a process per core.
                env={"OMP_NUM_THREADS": "1", **os.environ},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._calls, self._results = self._process.stdin, self._process.stdout

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Call a function in the process, and return its result or raise its error.

        Raises:
            EOFError: if the process ended.
        """
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
    """Run the calls that arrive on stdin, in a worker process, until stdin ends."""
    calls, results = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # Prints of libraries must not mix with results.
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
