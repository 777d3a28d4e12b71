"""Sheets of an evaluation: samples, best and worst by the discriminator, nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from pipeline.data.dataset import images_of
from pipeline.data.grids import tile
from pipeline.evaluation.batching import rebatch
from pipeline.evaluation.features.network import Images
from pipeline.evaluation.generated import GeneratedImages
from pipeline.evaluation.material import Material
from pipeline.evaluation.statistics.neighbours import nearest

SAMPLES = 64
PSI = 0.7
"""Truncation of the truncated samples: factor on each style's distance from the mean."""
SCORED = 2_048
"""Number of fakes among which the discriminator finds the best and worst."""
CHOSEN = 32
COLUMNS = 8
SCORED_AT_ONCE = 16
QUERIES, NEIGHBOURS = 12, 5


def pictures_of(material: Material, discriminator: keras.Model) -> Iterator[tuple[str, Any]]:
    """Draw sheets, uint8 `(height, width, channels)`, and yield each with its name."""
    fakes = material.fakes
    yield "samples", tile(fakes.at(range(min(SAMPLES, fakes.count))), columns=COLUMNS)
    if fakes.painter.has_styles:
        yield "truncated", tile(_truncated(fakes), columns=COLUMNS)
    scores = _scores(discriminator, fakes, min(SCORED, fakes.count))
    # Stable, so that equal scores give the same sheet every time.
    ranks = np.argsort(scores, kind="stable").tolist()
    yield "best", tile(fakes.at(ranks[::-1][:CHOSEN]), columns=COLUMNS)
    yield "worst", tile(fakes.at(ranks[:CHOSEN]), columns=COLUMNS)
    if material.references is not None:
        yield "nearest", _neighbours(material)


def _truncated(fakes: GeneratedImages) -> Images:
    painter, seeds = fakes.painter, range(min(SAMPLES, fakes.count))
    styles = painter.truncated(painter.styles(seeds, fakes.labels_at(seeds)), PSI)
    return painter.images(styles, seeds, fakes.noise)


def _scores(discriminator: keras.Model, fakes: GeneratedImages, count: int) -> Any:
    # In fixed batches, because MinibatchStd mixes samples of a batch.
    images = rebatch(fakes.batches(count), SCORED_AT_ONCE)
    scores = []
    for number, batch in enumerate(images):
        first = number * SCORED_AT_ONCE
        # Repeats samples of the batch, because black images would shift its deviation.
        filled: Any = np.resize(batch, (SCORED_AT_ONCE, *batch.shape[1:]))
        filled = filled.astype(np.float32) / 127.5 - 1.0
        if len(discriminator.inputs) > 1:
            assert fakes.labels is not None
            labels = np.resize(fakes.labels[first : first + len(batch)], SCORED_AT_ONCE)
            filled = [filled, np.eye(discriminator.inputs[1].shape[-1], dtype=np.float32)[labels]]
        found = np.ravel(discriminator.predict_on_batch(filled)["scores"])
        scores.append(found[: len(batch)])
    return np.concatenate(scores)


def _neighbours(material: Material) -> Any:
    """Draw a row per fake: the fake, then its nearest training images, mirrored ones included."""
    fakes, reals = material.vectors
    shown = material.shown
    neighbours = min(NEIGHBOURS, len(shown))
    found = nearest(fakes[:QUERIES], shown, neighbours=neighbours).indices
    # Mirror images come after the reals, in the same order.
    wanted = np.unique(found % len(reals)).tolist()
    # Read in one pass, in which each image comes once.
    images = dict(zip(wanted, _reals(material, wanted), strict=True))

    def image_of(number: int) -> Any:
        image = images[number % len(reals)]
        return image if number < len(reals) else image[:, ::-1]

    rows = [
        image
        for fake, numbers in zip(material.fakes.at(range(len(found))), found, strict=True)
        for image in (fake, *map(image_of, numbers.tolist()))
    ]
    return tile(np.stack(rows), columns=1 + neighbours)


def _reals(material: Material, numbers: Iterable[int]) -> Iterator[Any]:
    """Read the training images of some numbers, ascending."""
    wanted = set(numbers)
    samples = images_of(material.plan.records, material.resolution, copies=False)
    samples = samples.take(max(wanted) + 1).as_numpy_iterator()
    return (sample["image"] for number, sample in enumerate(samples) if number in wanted)
