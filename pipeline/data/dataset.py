"""Batches for one phase: an endless stream whose order is a function of the seed alone."""

from __future__ import annotations

from functools import partial

import tensorflow as tf

from pipeline.data.records import RecordSet, ShardFile, Split
from pipeline.data.service import NUMBER, Service, share_of_a_worker, through
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
    cache: bool = False,
    service: Service | None = None,
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
        service: Where batches are made, in place of this process; it must see the set's folder.
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
    window = _window_size(records.shards(phase.resolution))
    windows_per_epoch = -(-records.count // window)
    epoch, position = divmod(images_seen, records.count)
    first_window, position = divmod(position, window)
    classes = len(records.classes) if labels else 0
    decode = partial(decoded_image, records=records, resolution=phase.resolution)

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
        return {**sample, "image": decode(sample["image"])}

    def finished(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        images = batch["image"]
        if mirror:
            flip = batch["mirrored"][:, None, None, None]
            images = tf.where(flip, tf.reverse(images, axis=[2]), images)
        made = {"images": images, "labels": tf.one_hot(batch["label"], classes)}
        return made | {name: batch[name] for name in (NUMBER,) if name in batch}

    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    files = [str(file) for file in records.files(phase.resolution)]
    batch_size = phase.batch_size // workers
    windows = tf.data.TFRecordDataset(files).batch(window)
    samples = (
        (windows.cache() if cache else windows)
        .repeat()
        .enumerate(epoch * windows_per_epoch)
        # What was seen is passed over while it is still encoded.
        .skip(first_window)
        .map(shuffled)
        .prefetch(1)
        .unbatch()
        .skip(position)
        .shard(workers, worker)
    )
    if service is not None:
        samples = share_of_a_worker(samples, batch_size)
    batches = (
        samples.map(decoded, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size, drop_remainder=True)
        .map(finished)
    )
    if service is not None:
        batches = through(service, batches)
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


def images_of(records: RecordSet, resolution: int, split: Split = "train") -> tf.data.Dataset:
    """Every image of a split once, in the order of its files, with its label.

    Returns:
        A dataset of `{"image": uint8 (resolution, resolution, channels), "label": int64 ()}`, where
        the label is -1 for unlabelled pictures.

    Raises:
        ValueError: if the set lacks the resolution or the split.
    """

    def sample(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_single_example(serialized, _FEATURES)
        return {**parsed, "image": decoded_image(parsed["image"], records, resolution)}

    files = [str(file) for file in records.files(resolution, split)]
    return tf.data.TFRecordDataset(files).map(sample, num_parallel_calls=tf.data.AUTOTUNE)


def decoded_image(encoded: tf.Tensor, records: RecordSet, resolution: int) -> tf.Tensor:
    """The pixels that a record holds: scalar string → uint8 (resolution, resolution, channels)."""
    shape = (resolution, resolution, records.channels)
    if records.manifest.format == "raw":
        return tf.reshape(tf.io.decode_raw(encoded, tf.uint8), shape)
    if records.manifest.format == "jpeg":
        image = tf.io.decode_jpeg(encoded, records.channels, dct_method="INTEGER_ACCURATE")
    else:
        image = tf.io.decode_png(encoded, records.channels)
    return tf.ensure_shape(image, shape)


def _window_size(shards: tuple[ShardFile, ...]) -> int:
    count = sum(shard.records for shard in shards)
    mean_bytes = sum(shard.bytes for shard in shards) / count
    return max(1, min(count, MOST_RECORDS, int(MOST_BYTES / mean_bytes)))
