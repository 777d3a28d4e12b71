"""The sheets of an evaluation: samples, the discriminator's best and worst, nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from pipeline.data.dataset import images_of
from pipeline.evaluation.features.network import Images
from pipeline.evaluation.measures import Material
from pipeline.evaluation.statistics.neighbours import nearest
from pipeline.grids import tile

SAMPLES = 64
SCORED = 2_048
"""Fakes that the discriminator chooses from."""
CHOSEN = 32
COLUMNS = 8
SCORED_AT_ONCE = 16
QUERIES, NEIGHBOURS = 12, 5


def pictures_of(material: Material, discriminator: keras.Model) -> Iterator[tuple[str, Any]]:
    """Sheets by name, each uint8 `(height, width, channels)`.

    Args:
        material: The fakes, and features for neighbours, if there are any.
        discriminator: Of the same checkpoint.
    """
    fakes = material.fakes
    yield "samples", tile(fakes.at(range(min(SAMPLES, fakes.count))), columns=COLUMNS)
    scores = np.concatenate(
        [_scores(discriminator, batch) for batch in fakes.batches(min(SCORED, fakes.count))]
    )
    ranks = np.argsort(scores, kind="stable").tolist()
    yield "best", tile(fakes.at(ranks[::-1][:CHOSEN]), columns=COLUMNS)
    yield "worst", tile(fakes.at(ranks[:CHOSEN]), columns=COLUMNS)
    if material.references is not None:
        yield "nearest", _neighbours(material)


def _scores(discriminator: keras.Model, images: Images) -> Any:
    """Scores `(n,)`; they depend on the whole batch, as the deviation over it does."""
    filled = np.resize(images, (SCORED_AT_ONCE, *images.shape[1:]))
    outputs = discriminator.predict_on_batch(filled.astype(np.float32) / 127.5 - 1.0)
    return np.ravel(outputs[0] if isinstance(outputs, list) else outputs)[: len(images)]


def _neighbours(material: Material) -> Any:
    """A row for each of the first fakes: itself, then the training images that are nearest."""
    fakes, reals = material.vectors
    neighbours = min(NEIGHBOURS, len(reals))
    found = nearest(fakes[:QUERIES], reals, neighbours=neighbours).indices
    wanted = np.unique(found).tolist()
    images = dict(zip(wanted, _reals(material, wanted), strict=True))
    rows = [
        image
        for fake, numbers in zip(material.fakes.at(range(len(found))), found, strict=True)
        for image in (fake, *(images[number] for number in numbers.tolist()))
    ]
    return tile(np.stack(rows), columns=1 + neighbours)


def _reals(material: Material, numbers: Iterable[int]) -> Iterator[Any]:
    """The training images of these numbers, ascending."""
    wanted = set(numbers)
    samples = images_of(material.records, material.resolution, copies=False)
    samples = samples.take(max(wanted) + 1).as_numpy_iterator()
    return (sample["image"] for number, sample in enumerate(samples) if number in wanted)
