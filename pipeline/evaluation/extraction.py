"""Compute features of a stream of images, which a separate thread makes ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import TypeVar

from pipeline.evaluation.batching import rebatched
from pipeline.evaluation.features.network import FeatureNetwork, Features, Images, concatenated

AHEAD = 2
"""Batches to make ahead while the network processes another."""

Item = TypeVar("Item")


def extract(
    network: FeatureNetwork,
    batches: Iterable[Images],
    *,
    total: int | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Features:
    """Compute features of all images, in order, whatever the sizes of the batches.

    Args:
        network: Network for the features.
        batches: Images, uint8 `(n, height, width, channels)` each; only n may differ.
        total: Largest number of images to take; None for all.
        report: Called with the number of images done and `total`, or the former twice if None.

    Raises:
        ValueError: if there are no images.
        Exception: any error from making a batch.
    """
    parts = []
    done = 0
    wanted = batches if total is None else _first(batches, total)
    # TensorFlow lets other threads run while it computes: generator and network share the cores.
    # Closed, because the generator's thread must end with an error here too.
    with closing(made_ahead(rebatched(wanted, network.batch), AHEAD)) as stream:
        for images in stream:
            parts.append(network(images))
            done += len(images)
            if report is not None:
                report(done, done if total is None else total)
    if not parts:
        raise ValueError("`batches` must hold at least one image. Received: none")
    return concatenated(parts)


def _first(batches: Iterable[Images], total: int) -> Iterator[Images]:
    left = total
    for batch in batches:
        yield batch[:left]
        left -= len(batch)
        # Here, not before the slice: the next batch would be made in vain.
        if left <= 0:
            return


def made_ahead(items: Iterable[Item], ahead: int) -> Generator[Item]:
    """Make items ahead in one other thread, in order; at most `ahead` of them wait.

    An error from making an item is raised here, after the items before it. When this generator is
    closed, the thread ends after its present item.
    """
    iterator = iter(items)

    def take() -> list[Item]:
        # A list, empty at the end: a future cannot raise StopIteration into a generator.
        return list(islice(iterator, 1))

    # One thread, because the iterator makes items one after the other.
    thread = ThreadPoolExecutor(1, thread_name_prefix="made-ahead")
    try:
        pending = deque(thread.submit(take) for _ in range(ahead))
        while taken := pending.popleft().result():
            pending.append(thread.submit(take))
            yield from taken
    finally:
        # Waits for the item under way: a thread cannot be interrupted.
        thread.shutdown(cancel_futures=True)
