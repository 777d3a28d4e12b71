"""Workers that train a run together: the chief that writes, and how they agree."""

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

        # Gathering a number is the only exchange we need: it agrees, compares and is a barrier.
        @tf.function
        def gathered(number: tf.Tensor) -> tf.Tensor:
            return strategy.gather(strategy.run(lambda mine: mine[None], args=(number,)), axis=0)

        self._gathered = gathered

    @property
    def chief(self) -> bool:
        """True if this process is the chief, which writes checkpoints, logs and exports."""
        return self.index == 0

    def numbers(self, mine: int) -> list[int]:
        """Gather a 64-bit number from all workers, in their order."""
        if self.count == 1:
            return [mine]
        # Each replica of a worker gives its number; one per worker is kept.
        of_replicas = self._gathered(tf.constant(mine, tf.int64)).numpy().tolist()
        return list(of_replicas[:: len(of_replicas) // self.count])

    @contextmanager
    def chief_first(self) -> Iterator[None]:
        """Let the chief run the block before all others, which then find what it wrote."""
        # `numbers` is a barrier here; the block itself must not wait for other workers.
        if not self.chief:
            self.numbers(0)
        yield
        if self.chief:
            self.numbers(0)

    def require_same(self, what: str, value: str) -> None:
        """Refuse to continue unless all workers have the same value."""
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
            WorkerGone: if another worker has ended in between.
        """
        # TensorFlow notices lost workers; we only turn its error into a line and a status.
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
