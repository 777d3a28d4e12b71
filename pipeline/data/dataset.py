"""Batches for one phase: an endless stream whose order depends on the seed only."""

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
"""Limits of a shuffled window of encoded records: their number, and their bytes together."""
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
    """Make the endless batches of one worker in a phase, from `images_seen` on.

    The stream of all workers repeats the set, each time in another order; batches may cross the
    end of a pass. The sample at position p, and whether it is mirrored, depend on the seed and p
    only. Worker w takes the positions `images_seen + w`, `+ w + workers`, and so on: interleaved,
    the workers' batches equal the batch of a single worker.

    Args:
        records: Prepared images to train on.
        phase: Phase, for its resolution and its batch size over all workers.
        images_seen: Position of the first image in the stream, a multiple of `workers`.
        seed: Seed of order and mirroring, at least 0.
        mirror: True to mirror each image left to right with probability 1/2.
        labels: True to return labels.
        cache: True to keep encoded images in memory after the first pass.
        servers: Addresses of servers that decode and batch in place of this process; they must see
            the set's folder.
        worker: Index of this worker, from 0.
        workers: Number of workers that share each batch.

    Returns:
        Dataset of `{"images": uint8 (batch, height, width, channels),
        "labels": float32 (batch, classes)}`, where batch is the worker's share, and labels are
        one-hot, with 0 classes without labels.

    Raises:
        ValueError: if the set lacks the resolution or the workers cannot share the batch.
    """
    if phase.batch_size % workers or not 0 <= worker < workers:
        raise ValueError(
            "`workers` must divide the batch, and `worker` be one of them. Received: "
            f"batch_size={phase.batch_size}, workers={workers}, worker={worker}"
        )
    # Windows bound the memory of a shuffle; the files are in random order already.
    window = _window_size(records.shard_files(phase.resolution))
    windows_per_epoch = -(-records.count // window)
    epoch, position = divmod(images_seen, records.count)
    first_window, position = divmod(position, window)
    classes = len(records.classes) if labels else 0

    def shuffled(number: tf.Tensor, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        # Stateless draws, because `Dataset.shuffle` also depends on the global seed.
        parsed: dict[str, tf.Tensor] = tf.io.parse_example(serialized, _FEATURES)
        size = tf.shape(serialized, tf.int64)
        # Separate streams, so that `mirror` does not change the order.
        order, mirrored = tf.unstack(
            tf.random.split(tf.stack([tf.constant(seed, tf.int64), number]), 2)
        )
        permutation = tf.random.experimental.stateless_shuffle(tf.range(size[0]), order)
        parsed = {name: tf.gather(parsed[name], permutation) for name in _FEATURES}
        parsed["mirrored"] = tf.random.stateless_uniform(size, mirrored) < 0.5
        # Skip seen images of the first window before decoding, which is the slow part.
        seen = tf.where(number == epoch * windows_per_epoch + first_window, position, 0)
        return {name: values[seen:] for name, values in parsed.items()}

    def finished(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        images = decoded_images(batch["image"], records, phase.resolution)
        if mirror:
            flip = batch["mirrored"][:, None, None, None]
            images = tf.where(flip, tf.reverse(images, axis=[2]), images)
        return {"images": images, "labels": tf.one_hot(batch["label"], classes)}

    options = _untuned()
    # Order is part of resuming bit for bit.
    options.deterministic = True
    # The stream is divided by worker below; automatic sharding would divide it again.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    files = [str(file) for file in records.files(phase.resolution)]
    windows = tf.data.TFRecordDataset(files).batch(window)
    # Windows are never split into single samples: that costs more than decoding a small image.
    batches = (
        (windows.cache() if cache else windows)
        .repeat()
        .enumerate(epoch * windows_per_epoch)
        .skip(first_window)
        .map(shuffled)
        .prefetch(1)
        # Batches cross the ends of windows, so that no sample is lost at an end.
        .rebatch(phase.batch_size, drop_remainder=True)
        .map(lambda batch: {name: values[worker::workers] for name, values in batch.items()})
    )
    if servers:
        # Servers only know the options that the dataset carries.
        batches = served(servers, batches.with_options(_untuned()), finished)
    else:
        batches = batches.map(finished, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


def images_of(
    records: RecordSet, resolution: int, split: Split = "train", *, copies: bool = True
) -> tf.data.Dataset:
    """Read every image of a split once, in the order of the files; mirrored ones only if `copies`.

    Returns:
        Dataset of `{"image": uint8 (height, width, channels), "label": int64 ()}`; the label
        is -1 for unlabelled pictures.

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
    """Read the label of every image of a split, with copies, in the order of the files: `(n,)`.

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
    """Decode pixels of records: strings (n,) → uint8 (n, height, width, channels)."""
    channels = records.channels
    shape = (*records.shape(resolution), channels)

    def decoded(one: tf.Tensor) -> tf.Tensor:
        if records.format == "jpeg":
            # The accurate DCT, because the fast one is an approximation.
            image = tf.io.decode_jpeg(one, channels, dct_method="INTEGER_ACCURATE")
        else:
            image = tf.io.decode_png(one, channels)
        return tf.ensure_shape(image, shape)

    if records.format == "raw":
        return tf.reshape(tf.io.decode_raw(encoded, tf.uint8), (-1, *shape))
    return tf.map_fn(decoded, encoded, fn_output_signature=tf.TensorSpec(shape, tf.uint8))


def _untuned() -> tf.data.Options:
    """Make options without autotuning: as many parallel calls as cores, up to 16."""
    options = tf.data.Options()
    # The thread that tunes may miss the end of its iterator, which then waits up to a minute.
    options.autotune.enabled = False
    return options


def _window_size(shards: tuple[ShardFile, ...]) -> int:
    count = sum(shard.records for shard in shards)
    mean_bytes = sum(shard.bytes for shard in shards) / count
    return max(1, min(count, MOST_RECORDS, int(MOST_BYTES / mean_bytes)))
