"""Read prepared records with tf.data: endless batches for training, or each image once.

A phase is a part of training with one resolution and one batch size (`pipeline/schedule.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipeline.data.records import RecordSet, ShardFile, Split
from pipeline.data.service import map_on_servers
from pipeline.schedule import Phase

MAX_WINDOW_RECORDS = 100_000
MAX_WINDOW_BYTES = 2**29
"""Limits of the shuffle window: the encoded records that are shuffled together in memory."""
READ_BATCH = 16  # Records to parse and decode at a time where the result is not in batches.

_LABEL = {"label": tf.io.FixedLenFeature((), tf.int64)}
_IMAGE_AND_LABEL = {"image": tf.io.FixedLenFeature((), tf.string), **_LABEL}
_MIRRORED = {"mirrored": tf.io.FixedLenFeature((), tf.int64)}


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
    """Make an endless stream of training batches for one phase and one worker.

    All workers read one stream: it repeats the set, each pass in a different order, and a batch may
    cross the end of a pass. The image at position p, and whether it is mirrored, depend only on the
    set, the resolution (which limits the shuffle window), the seed and p. Worker w takes positions
    `images_seen + w`, `images_seen + w + workers`, …: together, a single worker's batches.

    Args:
        records: Prepared images to train on.
        phase: Phase with the resolution, and with the batch size of all workers together.
        images_seen: Position of the first image in the stream, a multiple of `workers`.
        seed: Seed of order and mirroring, at least 0.
        mirror: True to mirror each image left to right with probability 1/2.
        labels: True to return labels.
        cache: True to keep encoded images in memory after the first pass.
        servers: Addresses of servers that decode and batch instead; they find the set at its path.
        worker: Index of this worker, from 0.
        workers: Number of workers that share each batch.

    Returns:
        Dataset of `{"images": uint8 (batch, height, width, channels),
        "labels": float32 (batch, classes)}`. `batch` is the worker's share. Labels are one-hot,
        with shape (batch, 0) if `labels` is False.

    Raises:
        ValueError: if the set lacks the resolution, or `workers` or `worker` is invalid.
    """
    if phase.batch_size % workers or not 0 <= worker < workers:
        raise ValueError(
            "`workers` must divide the batch, and `worker` be one of them. Received: "
            f"batch_size={phase.batch_size}, workers={workers}, worker={worker}"
        )
    # Shuffle within windows, to bound memory. The files hold pictures in random order, so each
    # window is a random part of the set.
    window = _window_size(records.shard_files(phase.resolution))
    windows_per_epoch = -(-records.count // window)
    epoch, position = divmod(images_seen, records.count)
    first_window, position = divmod(position, window)
    classes = len(records.classes) if labels else 0

    def shuffle_window(number: tf.Tensor, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        # Draw with stateless operations, because `Dataset.shuffle` also depends on the global seed.
        parsed: dict[str, tf.Tensor] = tf.io.parse_example(serialized, _IMAGE_AND_LABEL)
        size = tf.shape(serialized, tf.int64)
        # Derive separate seeds, so that the flips are independent of the order.
        order_seed, flip_seed = tf.unstack(
            tf.random.split(tf.stack([tf.constant(seed, tf.int64), number]), 2)
        )
        permutation = tf.random.experimental.stateless_shuffle(tf.range(size[0]), order_seed)
        parsed = {name: tf.gather(parsed[name], permutation) for name in _IMAGE_AND_LABEL}
        parsed["flip"] = tf.random.stateless_uniform(size, flip_seed) < 0.5
        # Drop the seen images of the first window here, before the slow part: decoding.
        seen = tf.where(number == epoch * windows_per_epoch + first_window, position, 0)
        return {name: values[seen:] for name, values in parsed.items()}

    def decode_batch(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        images = decode_images(batch["image"], records, phase.resolution)
        if mirror:
            flip = batch["flip"][:, None, None, None]
            images = tf.where(flip, tf.reverse(images, axis=[2]), images)
        return {"images": images, "labels": tf.one_hot(batch["label"], classes)}

    options = _untuned()
    # Keep the order fixed, so that a resumed run equals an uninterrupted one bit for bit.
    options.deterministic = True
    # The code below takes the worker's share; automatic sharding would divide the stream again.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    files = [str(file) for file in records.files(phase.resolution)]
    windows = tf.data.TFRecordDataset(files).batch(window)
    # Pass on whole windows, then batches: a dataset of single records would cost more time than
    # decoding a small image.
    batches = (
        (windows.cache() if cache else windows)
        .repeat()
        .enumerate(epoch * windows_per_epoch)
        .skip(first_window)
        .map(shuffle_window)
        .prefetch(1)
        # Let batches cross the ends of windows, so that no image is lost there.
        .rebatch(phase.batch_size, drop_remainder=True)
        .map(lambda batch: {name: values[worker::workers] for name, values in batch.items()})
    )
    if servers:
        # Turn autotuning off here too: servers know only the options of the dataset they get.
        batches = map_on_servers(servers, batches.with_options(_untuned()), decode_batch)
    else:
        batches = batches.map(decode_batch, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


def images_of(
    records: RecordSet, resolution: int, split: Split = "train", *, copies: bool = True
) -> tf.data.Dataset:
    """Read every image of a split once, in the order of its records.

    If `copies` is False, the mirrored copies that `data.mirrored_copies` stored are left out.

    Returns:
        Dataset of `{"image": uint8 (height, width, channels), "label": int64 ()}`; the label
        is -1 for unlabelled pictures.

    Raises:
        ValueError: if the set lacks the resolution or the split.
    """

    def parse_and_decode(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(serialized, {**_IMAGE_AND_LABEL, **_MIRRORED})
        mirrored = parsed.pop("mirrored")
        if not copies:
            parsed = {name: values[mirrored == 0] for name, values in parsed.items()}
        return {**parsed, "image": decode_images(parsed["image"], records, resolution)}

    files = [str(file) for file in records.files(resolution, split)]
    batches = tf.data.TFRecordDataset(files).batch(READ_BATCH)
    images = batches.map(parse_and_decode, num_parallel_calls=tf.data.AUTOTUNE).unbatch()
    return images.with_options(_untuned())


def labels_of(records: RecordSet, split: Split = "train") -> npt.NDArray[np.int64]:
    """Read the labels of a split, (n,), in the order of its records; mirrored copies count.

    Raises:
        ValueError: if the set lacks the split.
    """
    files = [str(file) for file in records.files(records.resolutions[0], split)]
    labels = (
        tf.data.TFRecordDataset(files)
        .batch(READ_BATCH)
        .map(lambda serialized: tf.io.parse_example(serialized, _LABEL)["label"])
        .with_options(_untuned())
    )
    return np.concatenate(list(labels.as_numpy_iterator()))


def decode_images(encoded: tf.Tensor, records: RecordSet, resolution: int) -> tf.Tensor:
    """Decode the images of records: strings (n,) → uint8 (n, height, width, channels)."""
    channels = records.channels
    shape = (*records.shape(resolution), channels)

    def decode(content: tf.Tensor) -> tf.Tensor:
        if records.format == "jpeg":
            # Choose the accurate inverse DCT: the fast one is an approximation.
            image = tf.io.decode_jpeg(content, channels, dct_method="INTEGER_ACCURATE")
        else:
            image = tf.io.decode_png(content, channels)
        return tf.ensure_shape(image, shape)

    if records.format == "raw":
        return tf.reshape(tf.io.decode_raw(encoded, tf.uint8), (-1, *shape))
    return tf.map_fn(decode, encoded, fn_output_signature=tf.TensorSpec(shape, tf.uint8))


def _untuned() -> tf.data.Options:
    """Make options without autotuning: `AUTOTUNE` then means one call per core, up to 16."""
    options = tf.data.Options()
    # The tuning thread may miss the end of its iterator, which then waits for it up to a minute.
    options.autotune.enabled = False
    return options


def _window_size(shards: tuple[ShardFile, ...]) -> int:
    count = sum(shard.records for shard in shards)
    mean_bytes = sum(shard.bytes for shard in shards) / count
    return max(1, min(count, MAX_WINDOW_RECORDS, int(MAX_WINDOW_BYTES / mean_bytes)))
