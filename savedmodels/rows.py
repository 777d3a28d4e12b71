"""Signatures with one latent, style or image per row; servers may batch requests."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from layers.minibatch_std import MinibatchStd
from savedmodels.exportable import EXAMPLES, Exportable
from savedmodels.inputs import indices, one_hot_labels, rows, truncations
from savedmodels.sampler import StyleSampler, called, traced_once
from savedmodels.signature import Input, Outputs, Signature, require

DEFAULT = "serving_default"  # for requests that name no signature, as in TensorFlow Serving


def row_signatures(exportable: Exportable) -> dict[str, Signature]:
    """Make the signatures by name; labels and truncation exist only where the model has them.

    - `serving_default`: latents, labels, truncation → `images` float32 in [-1, 1].
    - `styles`: latents, labels, truncation → `styles` `(rows, layers, style_size)`.
    - `synthesize`: styles → `images`.
    - `mix`: latents, others, cutoff, labels, truncation → `images`, whose first `cutoff`
      layers have the styles of `latents` and whose other layers those of `others`.
    - `discriminate`: images, in some families labels → `scores` `(rows,)`, in others `logits` too.

    Each with one-hot `labels` has a twin `<name>_by_index`, which takes int64 `label` instead.
    """
    sampler, style_sampler = exportable.sampler, exportable.style_sampler
    latents = rows("latents", exportable.latent_size)
    given = (*one_hot_labels(exportable), *truncations(exportable))

    def serve(latents: Any, labels: Any = None, truncation: Any = None) -> Outputs:
        points = sampler.points(latents, labels)
        return _clip(sampler.images(points, labels, truncation))

    found = {DEFAULT: Signature(serve, (latents, *given))}
    if style_sampler:
        others, layers = rows("others", exportable.latent_size), style_sampler.layers
        cutoff = Input("cutoff", np.arange(EXAMPLES) % (layers + 1), 0, layers)
        functions = _StyleFunctions(style_sampler)
        styles = rows("styles", style_sampler.layers, style_sampler.size)
        found |= {
            "styles": Signature(functions.styles, (latents, *given)),
            "synthesize": Signature(functions.synthesize, (styles,)),
            "mix": Signature(functions.mix, (latents, others, cutoff, *given)),
        }
    if exportable.discriminator is not None:
        found["discriminate"] = _discriminate(exportable, exportable.discriminator)
    return found | {
        f"{name}_by_index": _by_index(signature, exportable)
        for name, signature in found.items()
        if any(each.name == "labels" for each in signature.inputs)
    }


class _StyleFunctions:
    """Functions of the signatures for styles."""

    def __init__(self, sampler: StyleSampler) -> None:
        self._sampler = sampler

    def styles(self, latents: Any, truncation: Any, labels: Any = None) -> Outputs:
        return {"styles": self._sampler.truncated(self._layer_styles(latents, labels), truncation)}

    def synthesize(self, styles: Any) -> Outputs:
        return _clip(self._sampler.synthesise(styles))

    def mix(
        self, latents: Any, others: Any, cutoff: Any, truncation: Any, labels: Any = None
    ) -> Outputs:
        layers = tf.range(self._sampler.layers, dtype=tf.int64)
        first = (layers < cutoff[:, tf.newaxis])[..., tf.newaxis]
        styles, other_styles = (self._layer_styles(each, labels) for each in (latents, others))
        mixed = tf.where(first, styles, other_styles)
        return self.synthesize(self._sampler.truncated(mixed, truncation))

    def _layer_styles(self, latents: Any, labels: Any) -> Any:
        return self._sampler.of_layers(self._sampler.points(latents, labels))


def _discriminate(exportable: Exportable, discriminator: keras.Model) -> Signature:
    sizes = [each.group_size for each in discriminator.layers if isinstance(each, MinibatchStd)]
    group = max(sizes, default=1)  # without MinibatchStd, rows are independent
    score = traced_once(partial(called, discriminator))

    def discriminate(images: Any, labels: Any = None) -> Outputs:
        count = tf.shape(images)[0]
        # Refuse other numbers of rows, which leave an incomplete group. Fewer rows than a group's
        # size form one smaller group.
        images = require(
            images,
            (count < group) | (count % group == 0),
            f"`images` must have fewer than {group} rows, or a multiple of {group}.",
            tf.strings.as_string(count),
        )
        found = score(images, labels)
        return {**found, "scores": found["scores"][:, 0]}

    images = rows("images", *discriminator.inputs[0].shape[1:])
    labels = one_hot_labels(exportable) if len(discriminator.inputs) > 1 else []
    return Signature(discriminate, tuple(_shorten(group, each) for each in (images, *labels)))


def _shorten(count: int, each: Input) -> Input:
    # Shorten the example to one group, so that its number of rows is allowed.
    return replace(each, example=each.example[:count])


def _by_index(signature: Signature, exportable: Exportable) -> Signature:
    [index] = indices(exportable)

    def answer(label: Any, **inputs: Any) -> Outputs:
        return signature.function(labels=tf.one_hot(label, exportable.classes), **inputs)

    inputs = (
        _shorten(len(each.example), index) if each.name == "labels" else each
        for each in signature.inputs
    )
    return Signature(answer, tuple(inputs))


def _clip(images: Any) -> Outputs:
    return {"images": tf.clip_by_value(images, -1.0, 1.0)}
