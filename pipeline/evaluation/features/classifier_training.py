"""Train the in-domain classifier; the result depends on labelled records and a seed only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.data.dataset import images_of
from pipeline.data.records import RecordSet, Split
from pipeline.errors import UserError
from pipeline.evaluation.features.arrays import hash_of
from pipeline.evaluation.features.classifier import (
    SMALLEST,
    ClassifierManifest,
    classifier_model,
    named_weights,
    network_of,
    scaled,
    write_classifier,
)
from pipeline.evaluation.features.network import FeatureNetwork, Images
from pipeline.shape import is_power_of_two
from pipeline.training.loop.ordering import keep_order

MOST_IMAGES = 100_000  # All are held in memory.
FEWEST_IMAGES = 20
HELD_OUT = 0.1
"""Share of the images to hold out if the set has no split `val`."""
BATCH = 128
LEARNING_RATE = 4e-3
IMAGES_SEEN = 250_000
FEWEST_EPOCHS, MOST_EPOCHS = 4, 40
"""Bounds on the default number of passes, which is the nearest to `IMAGES_SEEN` images."""

EpochReport = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Labelled:
    """Images, uint8 `(n, resolution, resolution, channels)`, with their classes, `(n,)`."""

    images: Images
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Lessons:
    """Images of a prepared set to train on, and others, never trained on, for the accuracy."""

    records: RecordSet
    training: Labelled
    held_out: Labelled


def lessons_of(records: RecordSet, resolution: int) -> Lessons:
    """Load labelled images of a prepared set without mirrored copies, at most 100,000.

    The split `val` is held out, or without one the last tenth.

    Raises:
        UserError: if there are no labels, fewer than two classes or twenty images, or no such
            resolution.
    """
    squares = [] if records.width else records.resolutions
    # The network halves its input down to 4 px, which needs powers of two.
    usable = [size for size in squares if size >= SMALLEST and is_power_of_two(size)]
    if resolution not in usable:
        raise UserError(
            f"the resolution of a classifier must be one of the set's from {SMALLEST} px on, "
            f"{usable}. Received: {resolution}"
        )
    if not records.classes:
        raise UserError(
            "a classifier needs labelled pictures: class folders or a labels file. "
            f"Received: {records.source}, which has no classes"
        )
    training = _labelled(records, resolution, "train")
    if records.size("val"):
        held_out = _labelled(records, resolution, "val")
    else:  # Its last part is no special one, as a set is in random order.
        kept = len(training.labels) - round(len(training.labels) * HELD_OUT)
        training, held_out = _part(training, slice(kept)), _part(training, slice(kept, None))
    found = np.unique(training.labels)
    if len(found) < 2:
        names = ", ".join(records.classes[label] for label in found) or "none"
        raise UserError(
            "a classifier needs pictures of at least two classes. "
            f"Received: {records.source}, with {names}"
        )
    if len(training.labels) + len(held_out.labels) < FEWEST_IMAGES or not len(held_out.labels):
        raise UserError(
            f"a classifier needs at least {FEWEST_IMAGES} labelled pictures, some of them held "
            f"out. Received: {len(training.labels)} and {len(held_out.labels)} held out"
        )
    return Lessons(records, training, held_out)


def default_epochs(images: int) -> int:
    """Return the number of passes over a set of images, 4 to 40."""
    return min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(IMAGES_SEEN / images)))


def train_classifier(
    lessons: Lessons,
    folder: Path,
    *,
    seed: int,
    epochs: int | None = None,
    report: Callable[[int, int], None] | None = None,
    epoch_done: EpochReport | None = None,
) -> ClassifierManifest:
    """Train a classifier and write it to a new folder.

    First weights, order and shifts depend on the seed only: on one machine, two trainings give the
    same weights bit for bit.

    Args:
        lessons: Training and test sets.
        folder: Folder to write, which must not exist.
        seed: Seed, at least 0.
        epochs: Passes over the images; None for 4 to 40, by their number.
        report: Called with the number of images seen and of all to see.
        epoch_done: Called with the number of epochs done, of all, and the held-out accuracy.

    Raises:
        FileExistsError: if the folder exists.
    """
    training, records = lessons.training, lessons.records
    count, resolution, _, channels = training.images.shape
    # Small sets get more passes, so that each training sees about as many images.
    passes = epochs or default_epochs(count)
    batch = min(BATCH, count)
    steps = count // batch
    model = classifier_model(resolution, channels, len(records.classes), seed=seed)
    step = _step(model, passes * steps)
    network = network_of(model, records.classes)
    accuracy = 0.0
    for epoch in range(passes):
        draws = np.random.default_rng([seed, epoch])
        order = draws.permutation(count)
        for number in range(steps):
            taken = order[number * batch : (number + 1) * batch]
            step(_shifted(training.images[taken], draws), training.labels[taken])
            if report is not None:
                report((epoch * steps + number + 1) * batch, passes * steps * batch)
        accuracy = accuracy_of(network, lessons.held_out)
        if epoch_done is not None:
            epoch_done(epoch + 1, passes, accuracy)
    weights = named_weights(model)
    manifest = ClassifierManifest(
        format_version=1,
        classes=records.classes,
        resolution=resolution,
        channels=records.channels,
        weights_hash=hash_of(weights),
        accuracy=accuracy,
        held_out=len(lessons.held_out.labels),
        trained_on=count,
        epochs=passes,
        seed=seed,
        source=records.source,
        data_hash=records.data_hash,
        growgan=metadata.version("growgan"),
    )
    write_classifier(folder, manifest, weights)
    return manifest


def accuracy_of(network: FeatureNetwork, labelled: Labelled) -> float:
    """Compute the share of images whose most probable class is correct."""
    probabilities = network(labelled.images).probabilities
    assert probabilities is not None
    return float(np.mean(probabilities.argmax(axis=1) == labelled.labels))


def _step(model: keras.Model, steps: int) -> Callable[[Images, npt.NDArray[np.int64]], Any]:
    # Else TensorFlow may update a weight before an earlier read, and equal trainings differ.
    keep_order()
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps))
    # Built outside the traced step, which must not make variables.
    optimizer.build(model.trainable_variables)

    @tf.function(reduce_retracing=True)
    def step(images: Any, labels: Any) -> None:
        with tf.GradientTape() as tape:
            _, logits = model(scaled(images), training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        weights = model.trainable_variables
        optimizer.apply(tape.gradient(loss, [w.value for w in weights]), weights)

    return step


def _shifted(images: Images, draws: np.random.Generator) -> Images:
    """Shift each image by up to a sixteenth of its side each way, repeating edge pixels."""
    count, side, *_ = images.shape
    most = side // 16
    padded = np.pad(images, [(0, 0), (most, most), (most, most), (0, 0)], mode="edge")
    top, left = draws.integers(0, 2 * most, (2, count, 1), endpoint=True)
    along = np.arange(side)
    return padded[
        np.arange(count)[:, None, None], (top + along)[:, :, None], (left + along)[:, None, :]
    ]


def _labelled(records: RecordSet, resolution: int, split: Split) -> Labelled:
    # The first ones, as a set is in random order.
    samples = images_of(records, resolution, split, copies=False).take(MOST_IMAGES).batch(1024)
    batches = list(samples.as_numpy_iterator())
    images = np.concatenate([batch["image"] for batch in batches])
    labels = np.concatenate([batch["label"] for batch in batches])
    return Labelled(images, labels)


def _part(labelled: Labelled, which: slice) -> Labelled:
    return Labelled(labelled.images[which], labelled.labels[which])
