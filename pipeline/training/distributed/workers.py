"""Workers that train a run together: how they agree, and which one, the chief, writes files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from pipeline.errors import UserError, WorkerGone


class Workers:
    """Worker processes of a strategy; only `multi_worker` has more than one.

    All workers must call `numbers`, `chief_first` and `require_same` in the same order: like every
    operation over replicas, these wait for the others.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self.count, self.index = 1, 0
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            resolver = strategy.cluster_resolver
            self.count = resolver.cluster_spec().num_tasks(resolver.task_type)
            self.index = resolver.task_id

        # We need no other exchange: gathering numbers lets workers agree, compare and wait.
        @tf.function
        def gathered(number: tf.Tensor) -> tf.Tensor:
            return strategy.gather(strategy.run(lambda mine: mine[None], args=(number,)), axis=0)

        self._gathered = gathered

    @property
    def chief(self) -> bool:
        """True if this process is the chief, which writes checkpoints, logs and exports."""
        return self.index == 0

    def numbers(self, mine: int) -> list[int]:
        """Gather a 64-bit number from all workers, in the order of their indices."""
        if self.count == 1:
            return [mine]
        # Each replica of a worker gives the worker's number: keep one per worker.
        of_replicas = self._gathered(tf.constant(mine, tf.int64)).numpy().tolist()
        return list(of_replicas[:: len(of_replicas) // self.count])

    @contextmanager
    def chief_first(self) -> Iterator[None]:
        """Let the chief run the block first; the other workers then find what it wrote."""
        # Use `numbers` as a barrier. The block itself must not wait for other workers.
        if not self.chief:
            self.numbers(0)
        yield
        if self.chief:
            self.numbers(0)

    def require_same(self, what: str, value: str) -> None:
        """Refuse to continue unless all workers have the same value; `what` names it."""
        digest = hashlib.sha256(value.encode()).digest()
        numbers = self.numbers(int.from_bytes(digest[:8], "big", signed=True))
        others = [str(index) for index, number in enumerate(numbers) if number != numbers[0]]
        if others:
            raise UserError(
                f"all workers must have the same {what}. "
                f"Received: another than the chief's in worker {', '.join(others)}"
            )

    @contextmanager
    def unless_one_ends(self) -> Iterator[None]:
        """Run a block that fails when another worker ends.

        Raises:
            WorkerGone: if another worker ended during the block.
        """
        # TensorFlow notices lost workers; turn its error into a one-line message and exit status.
        try:
            yield
        except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
            if self.count == 1:
                raise
            reason = re.search(r"aborted by: (.+)", error.message)
            raise WorkerGone(
                "a run ends with any of its workers; to go on, repeat the command in all of them "
                f"with --resume auto. Received: {reason[1] if reason else error.message}"
            ) from error
