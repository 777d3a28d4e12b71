"""Images of a run by seed, each a function of the weights, its seed and its label."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.run_folder import RunFolder

if TYPE_CHECKING:
    import keras


def labels_of_run(run: RunFolder, count: int, label: str | None) -> list[int]:
    """The numbers of so many images' classes: all of one, or in turn; none for a run without.

    Args:
        run: Run with a manifest.
        count: Number of images.
        label: Name of a class.

    Raises:
        UserError: if the label is no class of the run.
    """
    classes = run.manifest()["data"]["classes"] if run.config().data.labels else []
    if label is not None and label not in classes:
        known = ", ".join(classes) or "none, as the run has no labels"
        raise UserError(f"`--label` must be a class of the run: {known}. Received: {label}")
    if label is not None:
        return [classes.index(label)] * count
    return [place % len(classes) for place in range(count)] if classes else []


def require_styles(run: RunFolder) -> None:
    """Refuse a run whose generator has no styles.

    Raises:
        UserError: if it is so, or there is no run.
    """
    network = run.config().network
    if not network.has_styles:
        raise UserError(f"styles need a run of a family that has them. Received: {network.family}")


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

    from savedmodels.seeds import to_uint8

    @tf.function(autograph=False)
    def images(seeds: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return to_uint8(generator(inputs_of(generator, seeds, labels), training=False))

    yield from in_batches(images, np.asarray(seeds, np.int64), np.asarray(labels, np.int64))


def inputs_of(model: keras.Model, seeds: Any, labels: Any) -> Any:
    """Return a model's inputs: the latents of seeds, and for a labelled one their labels, one-hot.

    Args:
        model: Takes latents, or latents and labels.
        seeds: int64 `(n,)`.
        labels: The number of each seed's class, likewise, for a labelled model.
    """
    import tensorflow as tf

    from savedmodels.seeds import latents_of_seeds

    size, *classes = (tensor.shape[-1] for tensor in model.inputs)
    latents = latents_of_seeds(seeds, size)
    return [latents, tf.one_hot(labels, *classes)] if classes else latents


def in_batches(function: Callable[..., Any], *columns: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Apply a function of TensorFlow to rows, 16 at a time.

    It always gets 16, filled up, as an image's last bits may depend on the size of its batch.

    Args:
        function: Function of a batch of each column.
        columns: Each with a row a sample, or without any rows.
    """
    import tensorflow as tf

    from savedmodels.generation import BATCH

    for start in range(0, len(columns[0]), BATCH):
        parts = [column[start : start + BATCH] for column in columns]
        filled = (np.resize(part, (BATCH, *part.shape[1:])) for part in parts)
        yield function(*map(tf.constant, filled)).numpy()[: len(parts[0])]
