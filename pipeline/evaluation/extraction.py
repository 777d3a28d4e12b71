"""Compute the features of a stream of images, while a thread prefetches the next batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import TypeVar

from pipeline.evaluation.batching import rebatch
from pipeline.evaluation.features.network import FeatureNetwork, Features, Images, concatenate

AHEAD = 2  # Number of batches to prefetch while the network processes one.

Item = TypeVar("Item")


def extract(
    network: FeatureNetwork,
    batches: Iterable[Images],
    *,
    total: int | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Features:
    """Compute the features of images, in order; the sizes of the batches do not affect them.

    Args:
        network: Network for the features.
        batches: Images, uint8 `(n, height, width, channels)` each; only n may differ.
        total: Maximum number of images to take; None for all.
        report: Callback after each batch, with the number of images done and `total`; if that is
            None, with the number done twice.

    Raises:
        ValueError: if there are no images.
        Exception: any error from making a batch.
    """
    parts = []
    done = 0
    wanted = batches if total is None else _first(batches, total)
    # Prefetch in a thread: TensorFlow releases the GIL while it computes.
    # Close the stream, so that its thread ends even if the network raises an error.
    with closing(prefetch(rebatch(wanted, network.batch), AHEAD)) as stream:
        for images in stream:
            parts.append(network(images))
            done += len(images)
            if report is not None:
                report(done, done if total is None else total)
    if not parts:
        raise ValueError("`batches` must hold at least one image. Received: none")
    return concatenate(parts)


def _first(batches: Iterable[Images], total: int) -> Iterator[Images]:
    left = total
    for batch in batches:
        yield batch[:left]
        left -= len(batch)
        # Stop now, not at the next turn, which would first make a batch that nobody needs.
        if left <= 0:
            return


def prefetch(items: Iterable[Item], ahead: int) -> Generator[Item]:
    """Yield items in order, while one thread makes up to `ahead` of the next ones.

    If making an item raises an error, it is raised here after the items before it. When this
    generator is closed, the thread ends after the item that it is making.
    """
    iterator = iter(items)

    def take() -> list[Item]:
        # Return an empty list at the end: StopIteration cannot pass from a future to a generator.
        return list(islice(iterator, 1))

    # Use one thread, because the iterator makes one item after the other.
    thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    try:
        pending = deque(thread.submit(take) for _ in range(ahead))
        while taken := pending.popleft().result():
            pending.append(thread.submit(take))
            yield from taken
    finally:
        # Wait for the item that the thread is making: a thread cannot be interrupted.
        thread.shutdown(cancel_futures=True)
