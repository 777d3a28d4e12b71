"""Cut batches of arrays to one size, so that results do not depend on the batch size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from pipeline.evaluation.statistics.arrays import Array


def rebatched(batches: Iterable[Array], size: int) -> Iterator[Array]:
    """Yield the same rows in the same order in batches of `size`; the last may be smaller."""
    held: list[Array] = []
    for batch in batches:
        held.append(batch)
        count = sum(map(len, held))
        if whole := count - count % size:
            # Spares a copy of batches that already fit.
            joined = held[0] if len(held) == 1 else np.concatenate(held)
            yield from np.split(joined[:whole], whole // size)
            held = [joined[whole:]]
    if any(map(len, held)):
        yield np.concatenate(held)
