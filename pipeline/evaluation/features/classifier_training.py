"""Train a classifier on labelled images as a feature network, for `growgan features train`.

The result depends only on the images, the number of epochs and the seed.
"""

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
    MIN_SIDE,
    ClassifierManifest,
    classifier_model,
    named_weights,
    network_of,
    scale_pixels,
    write_classifier,
)
from pipeline.evaluation.features.network import FeatureNetwork, Images
from pipeline.shape import is_power_of_two
from pipeline.training.loop.ordering import keep_order

MAX_IMAGES = 100_000  # Maximum number of images in a split, all of which are held in memory.
MIN_IMAGES = 20
HELD_OUT = 0.1  # Share of the images to hold out if the set has no split `val`.
BATCH = 128
LEARNING_RATE = 4e-3
IMAGES_SEEN = 250_000
"""Number of images, over all epochs, to which the default number of epochs comes closest."""
MIN_EPOCHS, MAX_EPOCHS = 4, 40  # Bounds on the default number of epochs.

EpochReport = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Labelled:
    """Images, uint8 `(n, resolution, resolution, channels)`, and their labels, `(n,)`."""

    images: Images
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClassifierData:
    """Images of a prepared set: some to train on, and held-out ones to measure the accuracy."""

    records: RecordSet
    training: Labelled
    held_out: Labelled


def load_classifier_data(records: RecordSet, resolution: int) -> ClassifierData:
    """Load the labelled images of a prepared set: at most 100,000 per split, no mirrored copies.

    The split `val` is held out. In a set without `val`, the last tenth of the images is.

    Raises:
        UserError: if the set has too few labels, classes or images, or not this resolution.
    """
    squares = [] if records.width else records.resolutions
    # Use powers of two only: the network halves its input down to 4 px.
    usable = [size for size in squares if size >= MIN_SIDE and is_power_of_two(size)]
    if resolution not in usable:
        raise UserError(
            f"the resolution of a classifier must be one of the set's from {MIN_SIDE} px on, "
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
    else:  # Hold out the last tenth: prepared sets are in random order.
        kept = len(training.labels) - round(len(training.labels) * HELD_OUT)
        training, held_out = _slice(training, slice(kept)), _slice(training, slice(kept, None))
    found = np.unique(training.labels)
    if len(found) < 2:
        names = ", ".join(records.classes[label] for label in found) or "none"
        raise UserError(
            "a classifier needs pictures of at least two classes. "
            f"Received: {records.source}, with {names}"
        )
    if len(training.labels) + len(held_out.labels) < MIN_IMAGES or not len(held_out.labels):
        raise UserError(
            f"a classifier needs at least {MIN_IMAGES} labelled pictures, some of them held "
            f"out. Received: {len(training.labels)} and {len(held_out.labels)} held out"
        )
    return ClassifierData(records, training, held_out)


def default_epochs(images: int) -> int:
    """Return the default number of epochs for a number of training images, 4 to 40."""
    return min(MAX_EPOCHS, max(MIN_EPOCHS, round(IMAGES_SEEN / images)))


def train_classifier(
    data: ClassifierData,
    folder: Path,
    *,
    seed: int,
    epochs: int | None = None,
    report: Callable[[int, int], None] | None = None,
    epoch_done: EpochReport | None = None,
) -> ClassifierManifest:
    """Train a classifier and write it to a new folder.

    Initial weights, order and random shifts depend only on the seed: on one machine, two trainings
    give the same weights bit for bit.

    Args:
        data: Images to train on, and held-out images for the accuracy.
        folder: Folder to write, which must not exist.
        seed: Seed, at least 0.
        epochs: Passes over the training images; None to choose 4 to 40 by the number of images.
        report: Callback after each batch, with the numbers of images seen and to see in all.
        epoch_done: Callback after each epoch, with the number of epochs done, the number of all
            epochs, and the accuracy on the held-out images.

    Raises:
        FileExistsError: if the folder exists.
    """
    training, records = data.training, data.records
    count, resolution, _, channels = training.images.shape
    # Give small sets more epochs, so that every training sees about the same number of images.
    epochs = epochs or default_epochs(count)
    batch = min(BATCH, count)
    steps = count // batch
    model = classifier_model(resolution, channels, len(records.classes), seed=seed)
    train_step = _make_step(model, epochs * steps)
    network = network_of(model, records.classes)
    accuracy = 0.0
    for epoch in range(epochs):
        random = np.random.default_rng([seed, epoch])
        order = random.permutation(count)
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            train_step(_shift(training.images[chosen], random), training.labels[chosen])
            if report is not None:
                report((epoch * steps + step + 1) * batch, epochs * steps * batch)
        accuracy = accuracy_of(network, data.held_out)
        if epoch_done is not None:
            epoch_done(epoch + 1, epochs, accuracy)
    weights = named_weights(model)
    manifest = ClassifierManifest(
        format_version=1,
        classes=records.classes,
        resolution=resolution,
        channels=records.channels,
        weights_hash=hash_of(weights),
        accuracy=accuracy,
        held_out=len(data.held_out.labels),
        trained_on=count,
        epochs=epochs,
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


def _make_step(model: keras.Model, steps: int) -> Callable[[Images, npt.NDArray[np.int64]], Any]:
    # Otherwise TensorFlow may update a weight before an earlier read, and equal trainings differ.
    keep_order()
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps))
    # Build the optimizer here: a traced function must not create variables.
    optimizer.build(model.trainable_variables)

    @tf.function(reduce_retracing=True)
    def step(images: Any, labels: Any) -> None:
        with tf.GradientTape() as tape:
            _, logits = model(scale_pixels(images), training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        weights = model.trainable_variables
        optimizer.apply(tape.gradient(loss, [w.value for w in weights]), weights)

    return step


def _shift(images: Images, random: np.random.Generator) -> Images:
    """Shift each image at random by up to a sixteenth of its side, repeating edge pixels."""
    count, side, *_ = images.shape
    reach = side // 16
    padded = np.pad(images, [(0, 0), (reach, reach), (reach, reach), (0, 0)], mode="edge")
    top, left = random.integers(0, 2 * reach, (2, count, 1), endpoint=True)
    along = np.arange(side)
    return padded[
        np.arange(count)[:, None, None], (top + along)[:, :, None], (left + along)[:, None, :]
    ]


def _labelled(records: RecordSet, resolution: int, split: Split) -> Labelled:
    # Take the first images: prepared sets are in random order.
    samples = images_of(records, resolution, split, copies=False).take(MAX_IMAGES).batch(1024)
    batches = list(samples.as_numpy_iterator())
    images = np.concatenate([batch["image"] for batch in batches])
    labels = np.concatenate([batch["label"] for batch in batches])
    return Labelled(images, labels)


def _slice(labelled: Labelled, which: slice) -> Labelled:
    return Labelled(labelled.images[which], labelled.labels[which])
