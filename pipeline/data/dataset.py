"""Batches for one phase: an endless stream whose order is a function of the seed alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.data.records import RecordSet, ShardFile, Split
from pipeline.data.service import served
from pipeline.schedule import Phase

MOST_RECORDS = 100_000
MOST_BYTES = 2**29
"""Encoded records that are shuffled at a time: at most so many, and of at most so many bytes."""
DECODED_AT_A_TIME = 16

_LABEL = {"label": tf.io.FixedLenFeature((), tf.int64)}
_FEATURES = {"image": tf.io.FixedLenFeature((), tf.string), **_LABEL}
_COPY = {"mirrored": tf.io.FixedLenFeature((), tf.int64)}


def dataset_for(
    records: RecordSet,
    phase: Phase,
    *,
    images_seen: int,
    seed: int,
    mirror: bool,
    labels: bool,
    cache: bool = False,
    servers: Sequence[str] = (),
    worker: int = 0,
    workers: int = 1,
) -> tf.data.Dataset:
    """The batches that one worker trains on in a phase, from `images_seen` on, without end.

    The stream of all workers is the set again and again, each time in another order, and batches
    run on across its ends. Its sample at position p, and whether that is mirrored, follow from
    the seed and p. Worker w takes the positions `images_seen + w`, `+ w + workers`, and so on: the
    workers' batches, interleaved, are the batch of a single worker.

    The set is shuffled in windows of 100,000 records or 512 MiB, whichever is less, of files that
    are in random order already.

    Args:
        records: The prepared set.
        phase: Its resolution and its batch size over all workers.
        images_seen: Position in the stream of the first image: a multiple of `workers`.
        seed: Not negative.
        mirror: Whether each image is mirrored left to right with probability 1/2.
        labels: Whether labels are given.
        cache: Whether the encoded images are kept in memory once they were read.
        servers: Addresses of servers that make the batches in place of this process; they must see
            the set's folder.
        worker: Which of the workers, from 0.
        workers: Number of workers that share each batch.

    Returns:
        A dataset of `{"images": uint8 (batch, height, width, channels),
        "labels": float32 (batch, classes)}`, where batch is that of the worker, the labels are
        one-hot, and their width is 0 without labels.

    Raises:
        ValueError: if the set lacks the resolution or the workers cannot share the batch.
    """
    if phase.batch_size % workers or not 0 <= worker < workers:
        raise ValueError(
            "`workers` must divide the batch, and `worker` be one of them. Received: "
            f"batch_size={phase.batch_size}, workers={workers}, worker={worker}"
        )
    window = _window_size(records.shards(phase.resolution))
    windows_per_epoch = -(-records.count // window)
    epoch, position = divmod(images_seen, records.count)
    first_window, position = divmod(position, window)
    classes = len(records.classes) if labels else 0

    def shuffled(number: tf.Tensor, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        # Stateless draws: those of `Dataset.shuffle` depend on the global seed too.
        parsed: dict[str, tf.Tensor] = tf.io.parse_example(serialized, _FEATURES)
        size = tf.shape(serialized, tf.int64)
        order, mirrored = tf.unstack(
            tf.random.split(tf.stack([tf.constant(seed, tf.int64), number]), 2)
        )
        permutation = tf.random.experimental.stateless_shuffle(tf.range(size[0]), order)
        parsed = {name: tf.gather(parsed[name], permutation) for name in _FEATURES}
        parsed["mirrored"] = tf.random.stateless_uniform(size, mirrored) < 0.5
        # What was seen of the first window is passed over while it is still encoded.
        seen = tf.where(number == epoch * windows_per_epoch + first_window, position, 0)
        return {name: values[seen:] for name, values in parsed.items()}

    def finished(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        images = decoded_images(batch["image"], records, phase.resolution)
        if mirror:
            flip = batch["mirrored"][:, None, None, None]
            images = tf.where(flip, tf.reverse(images, axis=[2]), images)
        return {"images": images, "labels": tf.one_hot(batch["label"], classes)}

    options = _untuned()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    files = [str(file) for file in records.files(phase.resolution)]
    windows = tf.data.TFRecordDataset(files).batch(window)
    # Never taken apart into single samples, which costs more than to decode a small image.
    batches = (
        (windows.cache() if cache else windows)
        .repeat()
        .enumerate(epoch * windows_per_epoch)
        .skip(first_window)
        .map(shuffled)
        .prefetch(1)
        .rebatch(phase.batch_size, drop_remainder=True)
        .map(lambda batch: {name: values[worker::workers] for name, values in batch.items()})
    )
    if servers:
        # Servers have no other options than those that come to them.
        batches = served(servers, batches.with_options(_untuned()), finished)
    else:
        batches = batches.map(finished, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


def images_of(
    records: RecordSet, resolution: int, split: Split = "train", *, copies: bool = True
) -> tf.data.Dataset:
    """Every image of a split once, in the order of its files, with its label.

    Args:
        records: The prepared set.
        resolution: One of its own.
        split: `train` or `val`.
        copies: Whether mirrored copies, where the set has them, are among the images.

    Returns:
        A dataset of `{"image": uint8 (height, width, channels), "label": int64 ()}`, where
        the label is -1 for unlabelled pictures.

    Raises:
        ValueError: if the set lacks the resolution or the split.
    """

    def decoded(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(serialized, {**_FEATURES, **_COPY})
        mirrored = parsed.pop("mirrored")
        if not copies:
            parsed = {name: values[mirrored == 0] for name, values in parsed.items()}
        return {**parsed, "image": decoded_images(parsed["image"], records, resolution)}

    files = [str(file) for file in records.files(resolution, split)]
    batches = tf.data.TFRecordDataset(files).batch(DECODED_AT_A_TIME)
    images = batches.map(decoded, num_parallel_calls=tf.data.AUTOTUNE).unbatch()
    return images.with_options(_untuned())


def labels_of(records: RecordSet, split: Split = "train") -> npt.NDArray[np.int64]:
    """The label of every image of a split, copies included, in the order of its files: `(n,)`.

    Raises:
        ValueError: if the set lacks the split.
    """
    files = [str(file) for file in records.files(records.resolutions[0], split)]
    labels = (
        tf.data.TFRecordDataset(files)
        .batch(DECODED_AT_A_TIME)
        .map(lambda serialized: tf.io.parse_example(serialized, _LABEL)["label"])
        .with_options(_untuned())
    )
    return np.concatenate(list(labels.as_numpy_iterator()))


def decoded_images(encoded: tf.Tensor, records: RecordSet, resolution: int) -> tf.Tensor:
    """The pixels that records hold: strings (n,) → uint8 (n, height, width, channels)."""
    channels = records.channels
    shape = (*records.shape(resolution), channels)

    def decoded(one: tf.Tensor) -> tf.Tensor:
        if records.manifest.format == "jpeg":
            image = tf.io.decode_jpeg(one, channels, dct_method="INTEGER_ACCURATE")
        else:
            image = tf.io.decode_png(one, channels)
        return tf.ensure_shape(image, shape)

    if records.manifest.format == "raw":
        return tf.reshape(tf.io.decode_raw(encoded, tf.uint8), (-1, *shape))
    return tf.map_fn(decoded, encoded, fn_output_signature=tf.TensorSpec(shape, tf.uint8))


def _untuned() -> tf.data.Options:
    """Options without the thread that tunes a pipeline: as many calls at a time as cores, up to 16.

    That thread may miss that its iterator ends, and the iterator waits for it: the longer it was
    in use, the longer, up to a minute.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def _window_size(shards: tuple[ShardFile, ...]) -> int:
    count = sum(shard.records for shard in shards)
    mean_bytes = sum(shard.bytes for shard in shards) / count
    return max(1, min(count, MOST_RECORDS, int(MOST_BYTES / mean_bytes)))
