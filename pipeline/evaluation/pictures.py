"""Sheets of images for the report of an evaluation: samples, best and worst, nearest neighbours."""

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
PSI = 0.7  # Truncation of the truncated samples: factor on each style's distance from the mean.
SCORED = 2_048  # Number of fakes among which the discriminator finds the best and worst.
CHOSEN = 32  # Number of images on each of the sheets of best and worst images.
COLUMNS = 8
SCORED_AT_ONCE = 16  # Batch size of the discriminator.
QUERIES, NEIGHBOURS = 12, 5
"""Number of fakes on the sheet of nearest neighbours, and of neighbours beside each."""


def draw_sheets(material: Material, discriminator: keras.Model) -> Iterator[tuple[str, Any]]:
    """Draw sheets of images, and yield name and sheet, uint8 `(height, width, channels)`."""
    fakes = material.fakes
    yield "samples", tile(fakes.at(range(min(SAMPLES, fakes.count))), columns=COLUMNS)
    if fakes.painter.has_styles:
        yield "truncated", tile(_make_truncated(fakes), columns=COLUMNS)
    scores = _discriminate(discriminator, fakes, min(SCORED, fakes.count))
    # Use a stable sort, so that equal scores give the same sheet every time.
    ranks = np.argsort(scores, kind="stable").tolist()
    yield "best", tile(fakes.at(ranks[::-1][:CHOSEN]), columns=COLUMNS)
    yield "worst", tile(fakes.at(ranks[:CHOSEN]), columns=COLUMNS)
    if material.references is not None:
        yield "nearest", _draw_neighbours(material)


def _make_truncated(fakes: GeneratedImages) -> Images:
    painter, seeds = fakes.painter, range(min(SAMPLES, fakes.count))
    styles = painter.truncated(painter.styles(seeds, fakes.labels_at(seeds)), PSI)
    return painter.images(styles, seeds, fakes.noise)


def _discriminate(discriminator: keras.Model, fakes: GeneratedImages, count: int) -> Any:
    # Use batches of one size, because MinibatchStd makes a score depend on the whole batch.
    images = rebatch(fakes.batches(count), SCORED_AT_ONCE)
    scores = []
    for number, batch in enumerate(images):
        first = number * SCORED_AT_ONCE
        # Fill the last batch with its own samples: black images would change its deviation.
        inputs: Any = np.resize(batch, (SCORED_AT_ONCE, *batch.shape[1:]))
        inputs = inputs.astype(np.float32) / 127.5 - 1.0
        if len(discriminator.inputs) > 1:
            assert fakes.labels is not None
            labels = np.resize(fakes.labels[first : first + len(batch)], SCORED_AT_ONCE)
            inputs = [inputs, np.eye(discriminator.inputs[1].shape[-1], dtype=np.float32)[labels]]
        found = np.ravel(discriminator.predict_on_batch(inputs)["scores"])
        scores.append(found[: len(batch)])
    return np.concatenate(scores)


def _draw_neighbours(material: Material) -> Any:
    """Draw a row per fake: the fake, then its nearest training images, mirrored ones included."""
    fakes, reals = material.vectors
    shown = material.shown
    neighbours = min(NEIGHBOURS, len(shown))
    found = nearest(fakes[:QUERIES], shown, neighbours=neighbours).indices
    # `shown` holds the reals, then their mirror images in the same order.
    wanted = np.unique(found % len(reals)).tolist()
    # Read each image once, in a single pass over the records.
    images = dict(zip(wanted, _read_reals(material, wanted), strict=True))

    def image_of(number: int) -> Any:
        image = images[number % len(reals)]
        return image if number < len(reals) else image[:, ::-1]

    rows = [
        image
        for fake, numbers in zip(material.fakes.at(range(len(found))), found, strict=True)
        for image in (fake, *map(image_of, numbers.tolist()))
    ]
    return tile(np.stack(rows), columns=1 + neighbours)


def _read_reals(material: Material, numbers: Iterable[int]) -> Iterator[Any]:
    """Read the training images with these numbers, in ascending order."""
    wanted = set(numbers)
    samples = images_of(material.plan.records, material.resolution, copies=False)
    samples = samples.take(max(wanted) + 1).as_numpy_iterator()
    return (sample["image"] for number, sample in enumerate(samples) if number in wanted)
