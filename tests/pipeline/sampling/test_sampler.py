"""The sampler makes the images of the whole generator, and gradients of all that they depend on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.families.family import family_of
from pipeline.sampling.sampler import AnySampler, LatentSampler, StyleSampler, sampler_of
from savedmodels.exportable import Exportable
from savedmodels.sampler import StyleSampler as StylesOfAnExport
from tests.pipeline.families.sections import section_of

SIZES: dict[str, Any] = {"fmap_max": 4, "latent_size": 6}
STYLES: dict[str, Any] = {**SIZES, "style_size": 5, "mapping_layers": 1}
LABELS = tf.one_hot([0, 1, 1], 2)


def make_sampler(**keys: Any) -> AnySampler:
    """A sampler of a labelled generator at 8 px, with no weight at its first value."""
    config = section_of(**keys)
    network = family_of(config).generator(config, channels=3, label_size=2, name="average")
    model = network.model(8, fading=config.grows)
    draw = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(weight + draw.normal(size=weight.shape))
    if config.grows:
        network.fade.alpha.assign(0.3)
    return sampler_of(network, model, 8, fading=config.grows)


@pytest.mark.parametrize(
    ("keys", "layers"),
    [
        ({"family": "stylegan", **STYLES}, 4),
        (
            {"family": "stylegan", **STYLES, "styles": False}
            | {"constant_input": False, "mixing": 0.0},
            1,
        ),
        ({"family": "stylegan2", **STYLES, "noise": False}, 4),
        ({"family": "progan", **SIZES}, 0),
    ],
)
def test_parts_make_the_images_of_the_whole(keys: dict[str, Any], layers: int) -> None:
    sampler = make_sampler(**keys)
    latents = sampler.latents(range(3))
    exportable = Exportable(sampler)
    assert (exportable.latent_size, exportable.classes) == (6, 2)
    expected = sampler.model([latents, LABELS])
    points = sampler.points(latents, LABELS)
    np.testing.assert_allclose(sampler.images(points, LABELS), expected, atol=1e-5)
    assert isinstance(sampler, StylesOfAnExport) == bool(layers)
    assert exportable.style_sampler is (sampler if layers else None)
    if isinstance(sampler, StyleSampler):
        styles = sampler.of_layers(points)
        assert styles.shape == (3, layers, 5)
        np.testing.assert_allclose(sampler.synthesise(styles), expected, atol=1e-5)
        constant = sampler.noise("constant", tf.range(3, dtype=tf.int64))
        np.testing.assert_array_equal(
            sampler.synthesise(styles, constant), sampler.synthesise(styles)
        )


def test_gradients_pass_from_images_to_latents_labels_styles_and_noise() -> None:
    sampler = make_sampler(family="stylegan2", **STYLES)
    assert isinstance(sampler, StyleSampler)
    seeds, labels = tf.range(3, dtype=tf.int64), LABELS
    latents = sampler.latents(seeds)
    noise = sampler.noise("random", seeds)
    with tf.GradientTape() as tape:
        tape.watch([latents, labels, noise])
        styles = sampler.of_layers(sampler.points(latents, labels))
        tape.watch(styles)
        images = sampler.synthesise(sampler.truncated(styles, 0.7), noise)
        loss = tf.reduce_mean(tf.square(images))
    for gradient in tf.nest.flatten(tape.gradient(loss, [latents, labels, styles, noise])):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0


def test_the_gradient_of_a_latent_is_that_of_a_small_step() -> None:
    sampler = make_sampler(family="progan", **SIZES)
    assert isinstance(sampler, LatentSampler)
    latents = tf.cast(sampler.latents([5]), tf.float32)

    def loss(latents: tf.Tensor) -> tf.Tensor:
        images = sampler.images(sampler.points(latents, LABELS[:1]), LABELS[:1])
        return tf.reduce_mean(tf.square(images))

    with tf.GradientTape() as tape:
        tape.watch(latents)
        value = loss(latents)
    gradient = tape.gradient(value, latents).numpy()
    step = 3e-3 * gradient / np.linalg.norm(gradient)
    risen = (loss(latents + step) - loss(latents - step)) / 2
    np.testing.assert_allclose(risen, (gradient * step).sum(), rtol=2e-2)


def test_truncation_of_numbers_and_of_rows_is_the_same() -> None:
    sampler = make_sampler(family="stylegan2", **STYLES)
    assert isinstance(sampler, StyleSampler)
    styles = sampler.of_layers(sampler.points(sampler.latents(range(3)), LABELS))
    rows = sampler.truncated(styles, tf.constant([1.0, 0.5, 0.0]))
    np.testing.assert_array_equal(rows[0], styles[0])
    np.testing.assert_array_equal(sampler.truncated(styles, 1.0), styles)
    np.testing.assert_allclose(rows[1], sampler.truncated(styles, 0.5)[1], atol=1e-6)
    mean = np.broadcast_to(sampler.truncation.mean, rows[2].shape)
    np.testing.assert_allclose(rows[2], mean, atol=1e-6)
