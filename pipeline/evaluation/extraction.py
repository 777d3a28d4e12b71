"""Features of a stream of images, with the images made ahead in a thread of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

import numpy as np

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
        network: What gives the features.
        batches: uint8 `(n, height, width, channels)` each, of one size; n may differ.
        total: Images to take at most, or None for all.
        report: Called with the images done and `total`, or as many as are done where that is None.

    Raises:
        ValueError: if there are no images.
        Exception: whatever making a batch raises.
    """
    parts = []
    done = 0
    with closing(made_ahead(rebatched(batches, network.batch, total), AHEAD)) as stream:
        for images in stream:
            parts.append(network(images))
            done += len(images)
            if report is not None:
                report(done, done if total is None else total)
    if not parts:
        raise ValueError("`batches` must hold at least one image. Received: none")
    return joined(parts)


def rebatched(batches: Iterable[Images], size: int, total: int | None = None) -> Iterator[Images]:
    """The same images in the same order, `size` at a time and the rest at the end.

    Args:
        batches: `(n, …)` each.
        size: Of the new batches.
        total: Images to take at most, or None for all. No batch is asked for beyond them.
    """
    waiting: list[Images] = []
    for batch in batches if total is None else _first(batches, total):
        waiting.append(batch)
        if sum(map(len, waiting)) >= size:
            whole = np.concatenate(waiting)
            rest = len(whole) % size
            for start in range(0, len(whole) - rest, size):
                yield whole[start : start + size]
            waiting = [whole[len(whole) - rest :]]
    if sum(map(len, waiting)):
        yield np.concatenate(waiting)


def _first(batches: Iterable[Images], total: int) -> Iterator[Images]:
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
    nothing = object()
    # One thread: the items are made one after the other.
    thread = ThreadPoolExecutor(1, thread_name_prefix="made-ahead")
    try:
        pending = deque(thread.submit(next, iterator, nothing) for _ in range(ahead))
        while (item := pending.popleft().result()) is not nothing:
            pending.append(thread.submit(next, iterator, nothing))
            yield item  # type: ignore[misc]
    finally:
        thread.shutdown(cancel_futures=True)
