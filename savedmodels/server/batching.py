"""Samples of several requests in one run of a model, with a limit on those that wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from savedmodels.server.codes import Code, Refused, invalid

Array = np.ndarray[Any, Any]
Tensors = Mapping[str, Array]


@dataclass(frozen=True)
class BatchingParameters:
    """How samples are brought together; names and meaning are TensorFlow Serving's.

    Attributes:
        max_batch_size: Samples of a run.
        batch_timeout_micros: How long the first request of a batch may wait for others.
        max_enqueued_batches: Batches that may wait; a request beyond them is refused.
        num_batch_threads: Batches that run at once.
    """

    max_batch_size: int = 32
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = 1


@dataclass(frozen=True, eq=False)
class Task:
    """A request that waits.

    Attributes:
        key: Tasks with equal keys may share a run.
        inputs: Its tensors, each with `size` samples in the first dimension.
        size: Its samples.
        arrival: When it came, by the monotonic clock in seconds.
        deadline: When nobody waits for it any longer, by the same clock.
        outputs: What it is answered with.
    """

    key: Hashable
    inputs: Tensors
    size: int
    arrival: float
    deadline: float
    outputs: Future[dict[str, Array]] = field(default_factory=Future)


def next_batch(waiting: Sequence[Task], limit: int) -> list[Task]:
    """The first task, and those after it that share its key while they fit together."""
    batch: list[Task] = []
    room = limit
    for task in waiting:
        if task.key != waiting[0].key:
            continue
        if task.size > room:
            break
        batch.append(task)
        room -= task.size
    return batch


def is_due(batch: Sequence[Task], now: float, parameters: BatchingParameters) -> bool:
    """Whether a batch is full, or has waited for as long as it may."""
    size = sum(task.size for task in batch)
    waited = now - batch[0].arrival
    return size >= parameters.max_batch_size or waited >= parameters.batch_timeout_micros / 1e6


def join(parts: Sequence[Tensors]) -> dict[str, Array]:
    """Tensors one behind the other, by name."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def split(whole: Tensors, sizes: Sequence[int]) -> list[dict[str, Array]]:
    """The parts of tensors that have been joined.

    Raises:
        Refused: INTERNAL, if an output has not as many samples as the inputs.
    """
    for name, array in whole.items():
        if not array.ndim or len(array) != sum(sizes):
            raise Refused(
                Code.INTERNAL, f"Batched output tensor {name} has not one element for each sample"
            )
    ends = np.cumsum(sizes).tolist()
    return [
        {name: array[end - size : end] for name, array in whole.items()}
        for size, end in zip(sizes, ends, strict=True)
    ]


class BatchQueue:
    """Threads that run what waits, in batches.

    Args:
        run: Runs joined inputs of one key.
        parameters: Sizes and times.
    """

    def __init__(
        self,
        run: Callable[[Hashable, Tensors], dict[str, Array]],
        parameters: BatchingParameters,
    ) -> None:
        self._run = run
        self._parameters = parameters
        self._waiting: list[Task] = []
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._serve, name="batches", daemon=True)
            for _ in range(parameters.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, key: Hashable, inputs: Tensors, deadline: float) -> Future[dict[str, Array]]:
        """Let a request wait for its batch.

        Raises:
            Refused: RESOURCE_EXHAUSTED, if too many wait; INVALID_ARGUMENT, if it has more samples
                than a batch, or inputs with different numbers of samples.
        """
        sizes = {len(array) for array in inputs.values()}
        if len(sizes) != 1:
            raise invalid("Batching session Run() input tensors must have equal 0th-dimension size")
        size = sizes.pop()
        most = self._parameters.max_batch_size
        if size > most:
            raise invalid(f"Task size {size} is larger than maximum input batch size {most}")
        task = Task(key, inputs, size, time.monotonic(), deadline)
        with self._changed:
            room = most * self._parameters.max_enqueued_batches
            if sum(other.size for other in self._waiting) + size > room:
                raise Refused(
                    Code.RESOURCE_EXHAUSTED,
                    "The batch scheduling queue to which this task was submitted is full",
                )
            self._waiting.append(task)
            self._changed.notify()
        return task.outputs

    def close(self) -> None:
        """Run what waits, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while batch := self._take():
            late = [task for task in batch if task.deadline <= time.monotonic()]
            for task in late:
                task.outputs.set_exception(timed_out())
            if punctual := [task for task in batch if task not in late]:
                self._answer(punctual)

    def _take(self) -> list[Task]:
        """The next batch, once it is due; nothing when the queue is closed and empty."""
        with self._changed:
            while True:
                if not self._waiting:
                    if self._closed:
                        return []
                    self._changed.wait()
                    continue
                batch = next_batch(self._waiting, self._parameters.max_batch_size)
                now = time.monotonic()
                if self._closed or is_due(batch, now, self._parameters):
                    self._waiting = [task for task in self._waiting if task not in batch]
                    return batch
                due = batch[0].arrival + self._parameters.batch_timeout_micros / 1e6
                self._changed.wait(due - now)

    def _answer(self, batch: Sequence[Task]) -> None:
        try:
            outputs = self._run(batch[0].key, join([task.inputs for task in batch]))
            for task, part in zip(batch, split(outputs, [t.size for t in batch]), strict=True):
                task.outputs.set_result(part)
        except Exception as error:
            for task in batch:
                if not task.outputs.done():
                    task.outputs.set_exception(error)


def timed_out() -> Refused:
    """What a request is answered with whose time has run out."""
    return Refused(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification")
