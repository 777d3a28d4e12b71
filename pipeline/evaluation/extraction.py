"""Features of a stream of images, with the images made ahead in a thread of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import TypeVar

from pipeline.evaluation.batching import rebatched
from pipeline.evaluation.features.network import FeatureNetwork, Features, Images, joined

AHEAD = 2
"""Batches that are made while another goes through the network."""

Item = TypeVar("Item")


def extract(
    network: FeatureNetwork,
    batches: Iterable[Images],
    *,
    total: int | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Features:
    """The features of all images, in their order.

    Whatever makes the batches runs in a thread, up to two batches ahead: TensorFlow lets other
    threads run while it computes, so generator and network share the cores. How the stream is cut
    into batches does not matter to the result: the network gets the same batches in any case.

    Args:
        network: Network that gives the features.
        batches: uint8 `(n, height, width, channels)` each, of one size; n may differ.
        total: Images to take at most, or None for all.
        report: Called with the images done and `total`, or as many as are done where that is None.

    Raises:
        ValueError: if there are no images.
        Exception: whatever making a batch raises.
    """
    parts = []
    done = 0
    wanted = batches if total is None else _first(batches, total)
    with closing(made_ahead(rebatched(wanted, network.batch), AHEAD)) as stream:
        for images in stream:
            parts.append(network(images))
            done += len(images)
            if report is not None:
                report(done, done if total is None else total)
    if not parts:
        raise ValueError("`batches` must hold at least one image. Received: none")
    return joined(parts)


def _first(batches: Iterable[Images], total: int) -> Iterator[Images]:
    """The first images; no batch is asked for beyond them."""
    left = total
    for batch in batches:
        yield batch[:left]
        left -= len(batch)
        if left <= 0:
            return


def made_ahead(items: Iterable[Item], ahead: int) -> Generator[Item]:
    """The same items in the same order, made in one other thread, `ahead` of them at most in wait.

    An error in making one is raised here, after the items before it. When this generator is closed
    the thread ends with the item that it is at.
    """
    iterator = iter(items)

    def take() -> list[Item]:
        return list(islice(iterator, 1))

    # One thread: the items are made one after the other.
    thread = ThreadPoolExecutor(1, thread_name_prefix="made-ahead")
    try:
        pending = deque(thread.submit(take) for _ in range(ahead))
        while taken := pending.popleft().result():
            pending.append(thread.submit(take))
            yield from taken
    finally:
        thread.shutdown(cancel_futures=True)
