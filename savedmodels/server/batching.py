"""Batch requests: run a model once for the samples of several requests, and limit the queue."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np

from savedmodels.server.codes import Code, Refused, invalid
from savedmodels.server.time_left import timed_out

Array = np.ndarray[Any, Any]
Tensors = Mapping[str, Array]


def _count_processors() -> int:
    return len(os.sched_getaffinity(0))  # A process may have fewer than the machine.


@dataclass(frozen=True)
class BatchingParameters:
    """Batching parameters; names, meaning and defaults are TensorFlow Serving's."""

    max_batch_size: int = 1000  # Maximum number of samples in a batch
    batch_timeout_micros: int = 0  # Microseconds that the first request of a batch waits for others
    max_enqueued_batches: int = 10
    """Maximum length of the queue, in batches of `max_batch_size` samples. A request that does not
    fit is refused."""
    num_batch_threads: int = field(default_factory=_count_processors)
    """Number of batches that run at once; by default one per processor."""
    allowed_batch_sizes: tuple[int, ...] = ()
    """Allowed batch sizes in increasing order, up to `max_batch_size`. A batch is filled up to the
    next allowed size with copies of a sample. Empty for any size."""


@dataclass(frozen=True, eq=False)
class BatchTask:
    """Request in the queue; its times are seconds of `time.monotonic`.

    Tasks with equal keys may share a batch. Each input has `size` samples in its first dimension.
    """

    key: Hashable
    inputs: Tensors
    size: int
    arrival: float
    deadline: float
    outputs: Future[dict[str, Array]] = field(default_factory=Future)


def next_batches(waiting: Sequence[BatchTask], limit: int) -> list[list[BatchTask]]:
    """Form one batch per key from its oldest tasks; the batch with the oldest task comes first."""
    by_key: dict[Hashable, list[BatchTask]] = {}
    for task in waiting:
        by_key.setdefault(task.key, []).append(task)
    return [_take_while_fitting(tasks, limit) for tasks in by_key.values()]


def _take_while_fitting(tasks: Sequence[BatchTask], limit: int) -> list[BatchTask]:
    # Stop at the first task that does not fit: otherwise a large request might wait for ever.
    ends = accumulate(task.size for task in tasks)
    return [task for task, end in zip(tasks, ends, strict=True) if end <= limit]


def is_ready(batch: Sequence[BatchTask], now: float, parameters: BatchingParameters) -> bool:
    """Return whether a batch is full, or has waited for `batch_timeout_micros`."""
    size = sum(task.size for task in batch)
    waited = now - batch[0].arrival
    return size >= parameters.max_batch_size or waited >= parameters.batch_timeout_micros / 1e6


def padding(batch: Sequence[BatchTask], allowed_sizes: Sequence[int]) -> list[Tensors]:
    """Return a part with copies of a sample that fill the batch to an allowed size, or no part."""
    size = sum(task.size for task in batch)
    missing = next((allowed for allowed in allowed_sizes if allowed >= size), size) - size
    with_samples = [task for task in batch if task.size]
    if not missing or not with_samples:
        return []
    last = with_samples[-1].inputs  # A copy is a valid input, while zeros may not be.
    return [{name: np.repeat(array[:1], missing, axis=0) for name, array in last.items()}]


def join(parts: Sequence[Tensors]) -> dict[str, Array]:
    """Concatenate tensors of the same name along their first dimension."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def split(whole: Tensors, sizes: Sequence[int]) -> list[dict[str, Array]]:
    """Split tensors along their first dimension into parts of the given sizes, undoing `join`."""
    for array in whole.values():
        if not array.ndim:
            raise Refused(Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if len(array) != sum(sizes):
            raise Refused(
                Code.FAILED_PRECONDITION,
                f"Batched output tensor's 0th dimension is {len(array)} in place of {sum(sizes)}",
            )
    ends = np.cumsum(sizes).tolist()
    return [
        {name: array[end - size : end] for name, array in whole.items()}
        for size, end in zip(sizes, ends, strict=True)
    ]


class BatchQueue:
    """Queue of requests, and threads that batch them and run the model.

    Args:
        run: Runs the model on a batch, given the tasks' common key and their joined inputs.
        parameters: Parameters of batching.
    """

    def __init__(
        self, run: Callable[[Hashable, Tensors], dict[str, Array]], parameters: BatchingParameters
    ) -> None:
        self._run = run
        self._parameters = parameters
        self._waiting: list[BatchTask] = []
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run_batches, name="batches", daemon=True)
            for _ in range(parameters.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def answer(self, key: Hashable, inputs: Tensors, deadline: float) -> dict[str, Array]:
        """Queue a request and wait for its outputs, until its deadline."""
        outputs = self.submit(key, inputs, deadline)
        try:
            remaining = max(deadline - time.monotonic(), 0.0)
            # Limit the timeout: Python cannot wait for an infinite one.
            return outputs.result(min(remaining, threading.TIMEOUT_MAX))
        except TimeoutError:
            outputs.cancel()  # Takes the request out of its batch, if that has not begun.
            raise timed_out() from None

    def submit(self, key: Hashable, inputs: Tensors, deadline: float) -> Future[dict[str, Array]]:
        """Queue a request; return a future for its outputs."""
        if not inputs:
            raise invalid("Batching Run() must have at least one input tensor")
        if not all(array.ndim for array in inputs.values()):
            raise invalid("Batching Run() input tensors must have at least one dimension")
        sizes = {len(array) for array in inputs.values()}
        if len(sizes) != 1:
            raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
        size = sizes.pop()
        max_size = self._parameters.max_batch_size
        if size > max_size:
            raise invalid(f"Task size {size} is larger than maximum input batch size {max_size}")
        task = BatchTask(key, inputs, size, time.monotonic(), deadline)
        with self._changed:
            capacity = max_size * self._parameters.max_enqueued_batches  # in samples
            if sum(waiting.size for waiting in self._waiting) + size > capacity:
                raise Refused(
                    Code.RESOURCE_EXHAUSTED,
                    "The batch scheduling queue to which this task was submitted is full",
                )
            self._waiting.append(task)
            self._changed.notify()
        return task.outputs

    def close(self) -> None:
        """Run all waiting requests, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()  # Wait: the caller closes the model's session next.

    def _run_batches(self) -> None:
        while batch := self._take_batch():
            wanted = [task for task in batch if task.outputs.set_running_or_notify_cancel()]
            # Refuse late tasks: computing answers that nobody waits for would delay the others.
            late = [task for task in wanted if task.deadline <= time.monotonic()]
            for task in late:
                task.outputs.set_exception(timed_out())
            if in_time := [task for task in wanted if task not in late]:
                self._run_batch(in_time)

    def _take_batch(self) -> list[BatchTask]:
        """Wait for the next ready batch; return an empty one if the queue is closed and empty."""
        with self._changed:
            while True:
                if not self._waiting:
                    if self._closed:
                        return []
                    self._changed.wait()
                    continue
                now = time.monotonic()
                for batch in next_batches(self._waiting, self._parameters.max_batch_size):
                    if self._closed or is_ready(batch, now, self._parameters):
                        # Tasks compare by identity (`eq=False`), so equal requests stay apart.
                        self._waiting = [task for task in self._waiting if task not in batch]
                        return batch
                due = self._waiting[0].arrival + self._parameters.batch_timeout_micros / 1e6
                # Wait until the oldest request's batch is due, or a new request may fill a batch.
                self._changed.wait(due - now)

    def _run_batch(self, batch: Sequence[BatchTask]) -> None:
        try:
            samples = padding(batch, self._parameters.allowed_batch_sizes)
            parts = [*(task.inputs for task in batch), *samples]
            outputs = self._run(batch[0].key, join(parts))
            sizes = [len(next(iter(part.values()))) for part in parts]
            # Drop the outputs of the padding, which come last: `zip` ends with the tasks.
            for task, part in zip(batch, split(outputs, sizes), strict=False):
                task.outputs.set_result(part)
        except Exception as error:
            for task in batch:
                if not task.outputs.done():
                    task.outputs.set_exception(error)
