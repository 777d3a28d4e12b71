"""The processes that train a run together: which of them writes, and what they agree on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from pipeline.errors import UserError, WorkerGone


class Workers:
    """The processes of a strategy; one, but under `multi_worker`.

    What has the word "all" in its summary must be called by all of them, in the same order: like
    every operation over replicas it waits for the others.

    Args:
        strategy: Strategy of the run.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self.count, self.index = 1, 0
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            resolver = strategy.cluster_resolver
            self.count = resolver.cluster_spec().num_tasks(resolver.task_type)
            self.index = resolver.task_id

        @tf.function
        def gathered(number: tf.Tensor) -> tf.Tensor:
            return strategy.gather(strategy.run(lambda mine: mine[None], args=(number,)), axis=0)

        self._gathered = gathered

    @property
    def chief(self) -> bool:
        """Return whether this process writes checkpoints, logs and exports."""
        return self.index == 0

    def numbers(self, mine: int) -> list[int]:
        """The numbers of all workers; they must fit into 64 bits."""
        if self.count == 1:
            return [mine]
        of_replicas = self._gathered(tf.constant(mine, tf.int64)).numpy().tolist()
        return list(of_replicas[:: len(of_replicas) // self.count])

    @contextmanager
    def chief_first(self) -> Iterator[None]:
        """Let the chief go through the block before all others, who then find what it wrote."""
        if not self.chief:
            self.numbers(0)
        yield
        if self.chief:
            self.numbers(0)

    def require_same(self, what: str, value: str) -> None:
        """Refuse to go on unless the value is the same for all.

        Raises:
            UserError: if it is not, in every worker.
        """
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
        """A block that must not outlive any of the workers.

        Raises:
            WorkerGone: if one has ended in between.
        """
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
