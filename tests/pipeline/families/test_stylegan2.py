"""StyleGAN2's sizes, its models that share layers, its precisions, and the same on JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import Config
from pipeline.families.family import family_of
from pipeline.families.size import sizes_of
from pipeline.families.stylegan2.config import StyleGAN2Config
from pipeline.families.stylegan2.networks import (
    Discriminator,
    Generator,
)
from pipeline.objectives.path_length import path_lengths
from pipeline.objectives.penalties import squared_gradient
from pipeline.shape import start_shape
from tests.pipeline.families.paper_sizes import SIZES, conv
from tests.pipeline.families.sections import section_of

SMALL: dict[str, Any] = {
    "family": "stylegan2",
    "fmap_base": 64,
    "fmap_max": 12,
    "latent_size": 6,
    "style_size": 8,
    "mapping_layers": 2,
    "mapping_rate": 0.1,
}


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def one_hot(batch: int, classes: int) -> np.ndarray:
    return np.eye(classes, dtype="float32")[np.arange(batch) % classes]


def maps(resolution: int) -> int:
    """Feature maps of configuration F at a resolution."""
    return min(32768 // resolution, 512)


def test_the_paper_generator_at_1024_has_30_37_million_weights() -> None:
    def styled(inputs: int, outputs: int) -> int:
        return (512 * inputs + inputs) + conv(inputs, outputs) + 1  # style, kernel, noise

    def to_rgb(inputs: int) -> int:
        return (512 * inputs + inputs) + conv(inputs, 3, side=1)

    expected = (
        8 * (512 * 512 + 512)
        + 4 * 4 * 512
        + styled(512, 512)
        + to_rgb(512)
        + sum(
            styled(maps(side // 2), maps(side))
            + styled(maps(side), maps(side))
            + to_rgb(maps(side))
            for side in SIZES[1:]
        )
    )
    config = StyleGAN2Config(fmap_base=16384)
    [(size, _)] = sizes_of(config, [(1024, False)], channels=3, label_size=0)
    assert size.parameters == expected == 30_370_060


def test_the_paper_discriminator_at_1024_has_29_01_million_weights() -> None:
    expected = (
        conv(3, maps(1024), side=1)
        + sum(
            conv(maps(side), maps(side))
            + conv(maps(side), maps(side // 2))
            + maps(side) * maps(side // 2)
            for side in SIZES[1:]
        )
        + conv(513, 512)
        + (4 * 4 * 512 * 512 + 512)
        + (512 + 1)
    )
    config = StyleGAN2Config(fmap_base=16384)
    [(_, size)] = sizes_of(config, [(1024, False)], channels=3, label_size=0)
    assert size.parameters == expected == 29_012_513


@pytest.mark.parametrize("label_size", [0, 3])
def test_the_model_is_its_mapping_and_its_synthesis(label_size: int) -> None:
    generator = Generator(section_of(**SMALL), channels=3, label_size=label_size, seed=3)
    model = generator.model(16, fading=False)
    for layer in model.layers:  # Noise begins without strength.
        if layer.name.endswith("_noise"):
            layer.strength.assign(0.5)
    latents = tf.constant(normal(4, 6))
    inputs = [latents, tf.constant(one_hot(4, 3))] if label_size else latents
    w = generator.mapping()(inputs)
    assert w.shape == (4, 8)
    shapes = generator.noise_shapes(16)
    assert shapes == {
        "noise_4x4_0": (4, 4),
        "noise_8x8_0": (8, 8),
        "noise_8x8_1": (8, 8),
        "noise_16x16_0": (16, 16),
        "noise_16x16_1": (16, 16),
    }
    fixed = [model.get_layer(f"generator_{name}").map[None] for name in shapes]
    assert [tuple(noise.shape[1:3]) for noise in fixed] == list(shapes.values())
    assert generator.layers(16) == 6
    synthesis = generator.synthesis(16, fading=False)
    assert [given.name for given in synthesis.inputs] == ["styles", *shapes]
    styles = tf.repeat(w[:, None], 6, axis=1)
    np.testing.assert_allclose(synthesis([styles, *fixed]), model(inputs), rtol=0, atol=1e-5)
    silent = synthesis([styles, *(tf.zeros_like(noise) for noise in fixed)])
    assert np.abs(silent - model(inputs)).max() > 0.1
    # Every weight of a run lies in the model, and is trained but for the noise and the mean of w.
    weights = {f"{layer.name}/{w.name}" for layer in model.layers for w in layer.weights}
    assert len(weights) == len(model.weights)
    parts = {id(w) for part in (generator.mapping(), synthesis) for w in part.weights}
    assert parts == {id(w) for w in model.trainable_weights}
    assert {w.path for w in model.non_trainable_weights} == {
        "generator_truncation/mean",
        *(f"generator_{name}/map" for name in shapes),
    }


def test_to_rgb_reads_the_style_of_the_convolution_after_it() -> None:
    generator = Generator(section_of(**SMALL, noise=False), channels=1)
    synthesis = generator.synthesis(16, fading=False)
    read = {
        layer.name.removeprefix("generator_").removesuffix("_affine"): layer.input
        for layer in synthesis.layers
        if layer.name.endswith("_affine")
    }
    numbered = tf.repeat(tf.range(6.0)[None, :, None], 8, axis=2)
    styles = keras.Model(synthesis.inputs, read)(numbered)
    assert {part: float(style[0, 0]) for part, style in styles.items()} == {
        "4x4_conv1": 0,
        "4x4_to_rgb": 1,
        "8x8_conv0": 1,
        "8x8_conv1": 2,
        "8x8_to_rgb": 3,
        "16x16_conv0": 3,
        "16x16_conv1": 4,
        "16x16_to_rgb": 5,
    }


@pytest.mark.slow
def test_fused_and_unfused_networks_agree_to_the_second_order_in_a_compiled_step() -> None:
    """Path lengths and R1, and their gradients by all weights."""
    styles, noise = tf.constant(normal(4, 4, 8)), tf.constant(normal(4, 8, 8, 2))
    images = tf.constant(normal(4, 8, 8, 2))

    def results(fused: bool) -> list[Any]:
        config = section_of(**SMALL, fused=fused)
        generator = Generator(config, channels=2, seed=3)
        synthesis = generator.synthesis(8, fading=False)
        critic = Discriminator(config, channels=2, seed=3).model(8, fading=False)
        silence = [tf.zeros((1, *shape, 1)) for shape in generator.noise_shapes(8).values()]

        def gradients(total: Any, tape: tf.GradientTape, model: keras.Model) -> list[Any]:
            weights = [weight.value for weight in model.trainable_weights]
            return tape.gradient(total, weights, unconnected_gradients="zero")

        @tf.function
        def of() -> list[Any]:
            with tf.GradientTape() as tape:
                lengths = path_lengths(lambda w: synthesis([w, *silence]), styles, noise)
            first = gradients(lengths, tape, synthesis)
            with tf.GradientTape() as tape:
                squares = squared_gradient(lambda x: critic(x)["scores"], images)
            return [lengths, *first, squares, *gradients(squares, tape, critic)]

        return of()

    one, other = results(fused=True), results(fused=False)
    assert sum(bool(np.any(array)) for array in one) > 30
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_images_and_scores_are_float32_under_every_precision(precision: str) -> None:
    sizes: dict[str, Any] = {"channels": 3, "label_size": 2}
    half, full = (
        (
            Generator(section_of(**SMALL), precision=p, **sizes),
            Discriminator(section_of(**SMALL), precision=p, **sizes).model(8, fading=False),
        )
        for p in (precision, "float32")
    )
    inputs = [tf.constant(normal(4, 6)), tf.constant(one_hot(4, 2))]
    images = half[0].model(8, fading=False)(inputs)
    scores = half[1]([images, inputs[1]])["scores"]
    w = half[0].mapping()(inputs)
    assert images.dtype == scores.dtype == w.dtype == tf.float32
    assert {weight.dtype for weight in half[0].model(8, fading=False).weights} == {"float32"}
    # The same seed gives the same first weights, so results differ by rounding alone.
    rounding = {"float32": 1e-6, "mixed_bfloat16": 2**-8, "mixed_float16": 2**-11}[precision]
    expected = full[0].model(8, fading=False)(inputs), full[1]([images, inputs[1]])["scores"]
    for ours, exact in zip((images, scores), expected, strict=True):
        error = np.sqrt(np.mean(np.square(ours - exact))) / np.std(exact)
        assert error < 8 * rounding
    np.testing.assert_array_equal(w, full[0].mapping()(inputs))


def test_the_label_decides_the_score_through_the_projection_alone() -> None:
    critic = Discriminator(section_of(**SMALL), channels=1, label_size=3).model(8, fading=False)
    images = tf.constant(np.repeat(normal(1, 8, 8, 1), 3, axis=0))
    scores = critic([images, tf.constant(one_hot(3, 3))])["scores"].numpy()[:, 0]
    assert len(set(scores.round(4))) == 3
    parts = [critic.get_layer(f"discriminator_{name}") for name in ("4x4_dense1", "projection")]
    features = keras.Model(critic.inputs, [parts[0].output, *parts[1].input[1:]])
    image, label = features([images, tf.constant(one_hot(3, 3))])
    np.testing.assert_allclose(scores, np.sum(image * label, axis=1), rtol=1e-5)


def test_first_weights_follow_from_the_seed_and_not_from_the_name() -> None:
    models = [
        Generator(section_of(**SMALL), channels=1, seed=seed, name=name).model(8, fading=False)
        for seed, name in ((1, "generator"), (1, "average"), (2, "generator"))
    ]
    latents = normal(2, 6)
    same, again, other = (model(latents).numpy() for model in models)
    np.testing.assert_array_equal(same, again)
    assert np.abs(same - other).max() > 0.1


@pytest.mark.parametrize("shape", [(28, 28), (24, 32), (36, 64)])
def test_other_shapes_double_their_first_maps(shape: tuple[int, int]) -> None:
    start = start_shape(shape)
    sizes: dict[str, Any] = {"channels": 3, "label_size": 2, "start": start}
    generator = Generator(section_of(**SMALL), **sizes)
    critic = Discriminator(section_of(**SMALL), **sizes)
    model, judge = (each.model(shape[0], fading=False) for each in (generator, critic))
    assert model.output_shape == (None, *shape, 3)
    assert judge.input_shape == [(None, *shape, 3), (None, 2)]
    shapes = generator.shapes(shape[0])
    assert (shapes[0], shapes[-1]) == (start, shape)
    assert generator.layers(shape[0]) == 2 * len(shapes)
    first = f"{start[0]}x{start[1]}"
    assert {f"generator_{first}_conv1", f"generator_noise_{first}_0"} <= {
        layer.name for layer in model.layers
    }
    # Blocks of a stage have the maps that they have of powers of two.
    assert [len(shapes), 12] == [
        int(np.log2(shape[0] // start[0])) + 1,
        model.get_layer(f"generator_{first}_conv1").filters,
    ]
    labels = tf.constant(one_hot(3, 2))
    images = model([tf.constant(normal(3, 6)), labels], training=False)
    assert np.isfinite(judge([images, labels])["scores"]).all()


def test_it_does_not_grow() -> None:
    config = section_of(**SMALL)
    message = "^`fading` must be false: `stylegan2` does not grow. Received: fading=True$"
    for call in (
        Generator(config, channels=1).model,
        Generator(config, channels=1).synthesis,
        Discriminator(config, channels=1).model,
        lambda resolution, fading: sizes_of(
            config, [(resolution, fading)], channels=1, label_size=0
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call(8, fading=True)
    network = {"family": "stylegan2"}
    Config.model_validate(
        {"network": network, "schedule": {"start_resolution": 32, "resolution": 32}}
    )
    with pytest.raises(ValueError, match=r"`network.mapping_layers` must be at least 1"):
        StyleGAN2Config(mapping_layers=0)
    with pytest.raises(ValueError, match=r"does not grow: .* Received: 4 and 32"):
        Config.model_validate({"network": network, "schedule": {"resolution": 32}})


def test_the_family_is_found_by_its_name() -> None:
    family = family_of(section_of(**SMALL))
    assert (family.generator, family.discriminator) == (Generator, Discriminator)


@pytest.mark.slow
def test_networks_are_the_same_on_jax(on_jax: Callable[..., dict[str, np.ndarray]]) -> None:
    config, sizes = section_of(**SMALL), {"channels": 3, "label_size": 2}
    given = {}
    for name, make, first in (
        ("generator", Generator, normal(4, 6)),
        ("discriminator", Discriminator, normal(4, 8, 8, 3)),
    ):
        model = make(config, **sizes).model(8, fading=False)
        for weight in model.weights:  # At first noise has no strength, and biases are 0.
            weight.assign(weight + 0.1)
        given[name] = (model, [tf.constant(first), tf.constant(one_hot(4, 2))])
    found = on_jax(config, sizes | {"resolution": 8, "fading": False}, given)
    for name, (model, inputs) in given.items():
        [expected] = (each.numpy() for each in tf.nest.flatten(model(inputs)))
        assert np.abs(found[name] - expected).max() < 2e-5 * np.abs(expected).max()
