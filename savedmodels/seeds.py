"""Signatures that make images from seeds, bit for bit as `growgan generate` does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from savedmodels.batches import map_in_batches
from savedmodels.exportable import Exportable
from savedmodels.inputs import IN_TURN, indices, number, seed, seeds, single_options, truncations
from savedmodels.signature import Outputs, Signature

JPEG_QUALITY = 95  # Quality of `generate_jpeg`, from 0 to 100.


def to_uint8(images: Any) -> Any:
    """Convert float images in [-1, 1] to uint8 of the same shape; values outside are clipped."""
    return tf.saturate_cast(tf.round(images * 127.5 + 127.5), tf.uint8)


def seed_signatures(exportable: Exportable) -> dict[str, Signature]:
    """Make the signatures by name; label and truncation exist only where the model has them.

    - `generate`: seed, count, label, truncation → `images` uint8 `(count, height, width,
      channels)`; image k has the seed `seed + k`. The label -1 requests all classes in turn.
    - `generate_png`, `generate_jpeg`: the same inputs → `image_bytes` `(count,)`, one file each.
    - `generate_seeds`: one seed, label and truncation per row → `images` uint8.
    - `interpolate`: seed, to_seed, steps, label, truncation → `images` uint8 `(steps, height,
      width, channels)`, from the image of `seed` to that of `to_seed`.
    """
    functions, limit = _SeedFunctions(exportable), exportable.limit
    count = number("count", limit, default=1)
    generate = (seed("seed"), count, *single_options(exportable, IN_TURN))
    each = (seeds(), *indices(exportable), *truncations(exportable))
    path = (seed("seed"), seed("to_seed"), number("steps", limit), *single_options(exportable, 0))
    return {
        "generate": Signature(functions.generate, generate),
        "generate_png": Signature(functions.files(tf.io.encode_png), generate),
        "generate_jpeg": Signature(functions.files(_jpeg), generate),
        "generate_seeds": Signature(functions.each, each),
        "interpolate": Signature(functions.interpolate, path),
    }


class _SeedFunctions:
    """Functions of the signatures; each takes label and truncation if the model has them."""

    def __init__(self, exportable: Exportable) -> None:
        self._sampler = exportable.sampler
        self._classes = exportable.classes
        self._image = tf.TensorSpec(self._sampler.model.output_shape[1:], tf.uint8)

    def each(self, **columns: Any) -> Outputs:
        return {"images": map_in_batches(self._pixels_of_seeds, columns, self._image)}

    def generate(self, seed: Any, count: Any, **for_all: Any) -> Outputs:
        offsets = tf.range(count)
        columns = {name: tf.fill([count], value) for name, value in for_all.items()}
        if "label" in columns:
            label = columns["label"]
            columns["label"] = tf.where(label == IN_TURN, offsets % self._classes, label)
        return self.each(seeds=seed + offsets, **columns)

    def files(self, encode: Callable[[Any], Any]) -> Callable[..., Outputs]:
        def generate(**inputs: Any) -> Outputs:
            images = self.generate(**inputs)["images"]
            return {"image_bytes": tf.map_fn(encode, images, fn_output_signature=tf.string)}

        return generate

    def interpolate(self, seed: Any, to_seed: Any, steps: Any, **for_all: Any) -> Outputs:
        label = {name: tf.fill([2], value) for name, value in for_all.items() if name == "label"}
        ends = {"seeds": tf.stack([seed, to_seed]), **label}
        # Map the two ends in a full batch, so that they have the same bits as in `generate`.
        point = tf.TensorSpec((self._sampler.size,), tf.float32)
        first, last = tf.unstack(map_in_batches(self._points, ends, point), num=2)
        # Divide by at least 1: a single step is then the first image, not 0 / 0.
        shares = tf.range(steps) / tf.maximum(steps - 1, 1)
        points = self._sampler.between(first, last, tf.cast(shares, tf.float32))
        columns = {name: tf.fill([steps], value) for name, value in for_all.items()}
        return {"images": map_in_batches(self._pixels, {"points": points, **columns}, self._image)}

    def _points(self, seeds: Any, label: Any = None) -> Any:
        return self._sampler.points(self._sampler.latents(seeds), self._one_hot(label))

    def _pixels(self, points: Any, label: Any = None, truncation: Any = None) -> Any:
        return to_uint8(self._sampler.images(points, self._one_hot(label), truncation))

    def _pixels_of_seeds(self, seeds: Any, label: Any = None, truncation: Any = None) -> Any:
        return self._pixels(self._points(seeds, label), label, truncation)

    def _one_hot(self, label: Any) -> Any:
        return None if label is None else tf.one_hot(label, self._classes)


def _jpeg(image: Any) -> Any:
    return tf.io.encode_jpeg(image, quality=JPEG_QUALITY)
