"""Images of a run by seed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.run_folder import RunFolder

if TYPE_CHECKING:
    import keras

BATCH = 16
MOST_SEEDS = 100_000


def parse_seeds(text: str) -> list[int]:
    """`"0-3,8"` → `[0, 1, 2, 3, 8]`.

    Raises:
        UserError: if it is anything else, or names more than 100,000 seeds.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise UserError(f"`--seeds` must be like 3, 0-15 or 0-7,20. Received: {text}")
        if len(seeds) + last - first >= MOST_SEEDS:
            raise UserError(f"`--seeds` must name at most {MOST_SEEDS}. Received: {text}")
        seeds += range(first, last + 1)
    return seeds


def generate_images(
    run: RunFolder, seeds: Sequence[int], *, label: str | None = None
) -> NDArray[np.uint8]:
    """The images of seeds from a run's newest average: uint8 `(seeds, height, width, channels)`.

    Args:
        run: With a checkpoint.
        seeds: Not negative.
        label: Class name for a labelled run; without it the classes take turns.

    Raises:
        UserError: if there is no checkpoint, or the label is no class of the run.
    """
    config = run.config()
    model = run.average(run.newest_checkpoint())
    classes = run.manifest()["data"]["classes"] if config.data.labels else []
    if label is not None and label not in classes:
        known = ", ".join(classes) or "none, as the run has no labels"
        raise UserError(f"`--label` must be a class of the run: {known}. Received: {label}")
    if label is not None:
        labels = [classes.index(label)] * len(seeds)
    else:
        labels = [place % len(classes) for place in range(len(seeds))] if classes else []
    return np.concatenate(list(images_of_seeds(model, seeds, labels)))


def images_of_seeds(
    generator: keras.Model, seeds: Sequence[int], labels: Sequence[int] = ()
) -> Iterator[NDArray[np.uint8]]:
    """The images of seeds, 16 at a time: uint8 `(at most 16, height, width, channels)`.

    Each image is a function of the weights, its own seed and its label alone.

    Args:
        generator: Takes latents, or latents and one-hot labels.
        seeds: Not negative.
        labels: The number of each seed's class, for a labelled generator.
    """
    import tensorflow as tf

    from savedmodels.signatures import latents_of_seeds, to_uint8

    sizes = [tensor.shape[-1] for tensor in generator.inputs]

    @tf.function(autograph=False)
    def images(seeds: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        inputs = latents_of_seeds(seeds, sizes[0])
        if len(sizes) > 1:
            inputs = [inputs, tf.one_hot(labels, sizes[1])]
        return to_uint8(generator(inputs, training=False))

    for start in range(0, len(seeds), BATCH):
        batch = slice(start, start + BATCH)
        # A fixed batch size, as an image's last bits may depend on it.
        padded = (np.resize(np.asarray(part[batch], np.int64), BATCH) for part in (seeds, labels))
        yield images(*map(tf.constant, padded)).numpy()[: len(seeds[batch])]
