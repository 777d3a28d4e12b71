"""Batches for one phase: an endless stream whose order is a function of the seed alone."""

from __future__ import annotations

import tensorflow as tf

from pipeline.data.records import RecordSet
from pipeline.schedule import Phase

MOST_RECORDS = 100_000
MOST_BYTES = 2**29
"""Encoded records that are shuffled at a time: at most so many, and of at most so many bytes."""

_FEATURES = {
    "image": tf.io.FixedLenFeature((), tf.string),
    "label": tf.io.FixedLenFeature((), tf.int64),
}


def dataset_for(
    records: RecordSet,
    phase: Phase,
    *,
    images_seen: int,
    seed: int,
    mirror: bool,
    labels: bool,
    worker: int = 0,
    workers: int = 1,
) -> tf.data.Dataset:
    """The batches that one worker trains on in a phase, from `images_seen` on, without end.

    The stream of all workers is the set again and again, each time in another order, and batches
    run on across its ends. Its sample at position p, and whether that is mirrored, follow from
    the seed and p. Worker w takes the positions `images_seen + w`, `+ w + workers`, and so on: the
    workers' batches, interleaved, are the batch of a single worker.

    The set is shuffled in windows of 100,000 records or 512 MiB, whichever is less, of a file that
    is in random order already.

    Args:
        records: The prepared set.
        phase: Its resolution and its batch size over all workers.
        images_seen: Position in the stream of the first image: a multiple of `workers`.
        seed: Not negative.
        mirror: Whether each image is mirrored left to right with probability 1/2.
        labels: Whether labels are given.
        worker: Which of the workers, from 0.
        workers: Number of workers that share each batch.

    Returns:
        A dataset of `{"images": uint8 (batch, resolution, resolution, channels),
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
    file = str(records.file(phase.resolution))
    window = _window_size(records, phase.resolution)
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
        parsed["mirrored"] = tf.random.stateless_uniform(size, mirrored) < 0.5
        for name in _FEATURES:
            parsed[name] = tf.gather(parsed[name], permutation)
        return parsed

    def decoded(sample: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        image = tf.io.decode_png(sample["image"], channels=records.channels)
        shape = (phase.resolution, phase.resolution, records.channels)
        return {**sample, "image": tf.ensure_shape(image, shape)}

    def finished(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        images = batch["image"]
        if mirror:
            flip = batch["mirrored"][:, None, None, None]
            images = tf.where(flip, tf.reverse(images, axis=[2]), images)
        return {"images": images, "labels": tf.one_hot(batch["label"], classes)}

    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return (
        tf.data.Dataset.range(epoch, tf.int64.max)
        .flat_map(lambda _: tf.data.TFRecordDataset(file).batch(window))
        .enumerate(epoch * windows_per_epoch)
        # What was seen is passed over while it is still encoded.
        .skip(first_window)
        .map(shuffled)
        .prefetch(1)
        .unbatch()
        .skip(position)
        .shard(workers, worker)
        .map(decoded, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(phase.batch_size // workers, drop_remainder=True)
        .map(finished)
        .prefetch(tf.data.AUTOTUNE)
        .with_options(options)
    )


def _window_size(records: RecordSet, resolution: int) -> int:
    mean_bytes = records.file(resolution).stat().st_size / records.count
    return max(1, min(records.count, MOST_RECORDS, int(MOST_BYTES / mean_bytes)))
