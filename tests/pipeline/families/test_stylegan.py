"""StyleGAN: every shape, growth, and what styles, noise and labels do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from layers.resample import box_down, nearest_up
from pipeline.families.stylegan.config import StyleGANConfig
from pipeline.families.stylegan.networks import Discriminator, Generator
from tests.pipeline.families.paper_sizes import SIZES, every_resolution
from tests.pipeline.families.stylegan_cases import (
    CONFIG,
    named,
    normal,
    relative,
    with_normal_weights,
)

LABELS = np.eye(2, dtype=np.float32)[[0, 1, 1, 0]]


@pytest.fixture(scope="module")
def growing() -> tuple[Generator, Discriminator]:
    config = StyleGANConfig(
        fmap_base=1024, fmap_max=4, latent_size=3, style_size=3, mapping_layers=1
    )
    generator = Generator(config, channels=5, label_size=2)
    return generator, Discriminator(config, channels=5, label_size=2)


@every_resolution
def test_every_resolution_has_models(
    growing: tuple[Generator, Discriminator], resolution: int, fading: bool
) -> None:
    generator, discriminator = growing
    model = generator.model(resolution, fading=fading)
    synthesis = generator.synthesis(resolution, fading=fading)
    critic = discriminator.model(resolution, fading=fading)
    layers = 2 * SIZES.index(resolution) + 2
    assert generator.layers(resolution) == layers
    assert len(generator.noise_shapes(resolution)) == layers
    assert synthesis.input_shape[0] == (None, layers, 3)
    assert [tensor.name for tensor in synthesis.inputs[1:]] == [
        f"noise_{side}x{side}_{layer}" for side in SIZES[: layers // 2] for layer in (0, 1)
    ]
    assert [shape[1:3] for shape in synthesis.input_shape[1:]] == [
        *generator.noise_shapes(resolution).values()
    ]
    assert model.output_shape == synthesis.output_shape == (None, resolution, resolution, 5)
    assert critic.input_shape == [(None, resolution, resolution, 5), (None, 2)]
    assert critic.output_shape == (None, 1)


def test_blocks_are_shared_by_the_models_of_all_phases() -> None:
    for network in (Generator(CONFIG, channels=1), Discriminator(CONFIG, channels=1)):
        small, large = (named(network.model(side, fading=True)) for side in (8, 16))
        common = small.keys() & large.keys()
        old = {name for name in small if "to_rgb" in name or "from_rgb" in name}
        assert small.keys() - common == {name for name in old if name.startswith("4x4")}
        assert all(small[name] is large[name] for name in common)


def test_each_style_and_each_noise_map_changes_the_images() -> None:
    generator = Generator(CONFIG, channels=2)
    synthesis = with_normal_weights(generator.synthesis(16, fading=False))
    inputs = [
        normal(3, generator.layers(16), generator.style_size),
        *(normal(3, *shape, 1) for shape in generator.noise_shapes(16).values()),
    ]
    tensors = [tf.constant(values) for values in inputs]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = tf.reduce_sum(synthesis(tensors)[1] * normal(16, 16, 2))
    of_styles, *of_noise = (gradient.numpy() for gradient in tape.gradient(value, tensors))
    for gradient in (*(of_styles[:, layer] for layer in range(generator.layers(16))), *of_noise):
        assert np.any(gradient[1])
        assert not np.any(gradient[[0, 2]]), "an image depends on the style or noise of another"
    whole_batch = [values[1:2] for values in inputs[1:]]
    one = synthesis([inputs[0][1:2], *whole_batch])
    np.testing.assert_allclose(synthesis([inputs[0], *whole_batch])[1], one[0], atol=1e-5)


@pytest.mark.parametrize("label_size", [0, 3])
def test_the_model_is_mapping_and_synthesis_with_its_own_noise(label_size: int) -> None:
    generator = Generator(CONFIG, channels=2, label_size=label_size, seed=5)
    model = with_normal_weights(generator.model(8, fading=True))
    generator.fade.alpha.assign(0.3)
    latents = [normal(4, 6), np.eye(3, dtype=np.float32)[[0, 2, 1, 0]]][: 2 if label_size else 1]
    inputs = latents if label_size else latents[0]
    style = generator.mapping()(inputs)
    assert style.shape == (4, generator.style_size)
    noise = [named(model)[f"{name}/map"].numpy()[None] for name in generator.noise_shapes(8)]
    styles = np.stack([style] * generator.layers(8), axis=1)
    images = generator.synthesis(8, fading=True)([styles, *noise])
    assert relative(model(inputs), images) < 1e-6

    half = generator.truncation(styles, psi=0.5)
    generator.truncation.mean.assign(normal(5))
    np.testing.assert_allclose(half, styles / 2, rtol=1e-6)
    assert relative(model(inputs), images) < 1e-6, "the model truncates"


def test_the_model_holds_every_variable_of_the_generator() -> None:
    generator = Generator(CONFIG, channels=2, label_size=3)
    parts = {id(w) for w in generator.model(8, fading=True).weights}
    used = [*generator.mapping().weights, *generator.synthesis(8, fading=True).weights]
    assert {id(weight) for weight in used} < parts
    assert id(generator.truncation.mean) in parts


def test_first_weights_and_noise_follow_from_the_seed_and_the_parts_name() -> None:
    def weights(name: str, seed: int, first: int) -> dict[str, keras.Variable]:
        generator = Generator(CONFIG, channels=2, label_size=2, name=name, seed=seed)
        generator.model(first, fading=False)
        return named(generator.model(16, fading=False))

    ours, same, other = weights("generator", 1, 4), weights("average", 1, 16), weights("g", 2, 8)
    drawn = [name for name in ours if name.endswith(("kernel", "map"))]
    assert len(drawn) == 1 + 2 + 5 + 6 + 6 + 1  # label, mapping, convolutions, styles, noise, RGB
    for name in ours:
        np.testing.assert_array_equal(ours[name].numpy(), same[name].numpy())
    for name in drawn:
        assert (ours[name].numpy() != other[name].numpy()).all()
    firsts = [float(ours[name].numpy().flat[0]) for name in drawn]
    assert len(set(firsts)) == len(firsts)


def test_styles_start_at_unit_size_whatever_the_rate_of_the_mapping() -> None:
    for rate in (0.01, 1.0):
        config = StyleGANConfig(latent_size=64, style_size=64, mapping_layers=3, mapping_rate=rate)
        mapping = Generator(config, channels=1).mapping()
        styles = mapping(normal(64, 64)).numpy()
        assert np.sqrt(np.mean(styles**2)) == pytest.approx(1.0, abs=0.2)
        kernel = named(mapping)["mapping_dense0/kernel"].numpy()
        assert kernel.std() == pytest.approx(1 / rate, rel=0.05)


def test_fused_and_unfused_networks_agree() -> None:
    latents, images = normal(4, 6), normal(4, 16, 16, 1)
    for make, inputs in ((Generator, latents), (Discriminator, images)):
        models = (
            make(CONFIG.model_copy(update={"fused": fused}), channels=1).model(16, fading=True)
            for fused in (True, False)
        )
        fused, unfused = (
            tf.nest.flatten(with_normal_weights(model)(inputs))[0] for model in models
        )
        assert relative(fused, unfused) < 2e-5


def test_a_fade_begins_at_the_old_size_and_ends_at_the_new_one() -> None:
    generator, critic = Generator(CONFIG, channels=3), Discriminator(CONFIG, channels=3)
    for network in (generator, critic):
        with_normal_weights(network.model(8, fading=True))
    latents, images = normal(4, 6), tf.constant(normal(4, 8, 8, 3))
    fading = {network: network.model(8, fading=True) for network in (generator, critic)}
    expected = {
        0.0: (
            nearest_up(generator.model(4, fading=False)(latents), 2),
            critic.model(4, fading=False)(box_down(images, 2))["scores"],
        ),
        1.0: (
            generator.model(8, fading=False)(latents),
            critic.model(8, fading=False)(images)["scores"],
        ),
    }
    for alpha, (generated, scores) in expected.items():
        for network in (generator, critic):
            network.fade.alpha.assign(alpha)
        assert relative(fading[generator](latents), generated) < 1e-6
        assert relative(fading[critic](images)["scores"], scores) < 1e-6


def test_the_label_chooses_the_score_and_shapes_the_style() -> None:
    critic = Discriminator(CONFIG, channels=3, label_size=3)
    model = with_normal_weights(critic.model(4, fading=False))
    images, labels = normal(4, 4, 4, 3), np.eye(3, dtype=np.float32)
    classes = [0, 2, 1, 2]
    scores = np.stack([model([images, labels[[k] * 4]])["scores"].numpy() for k in range(3)])
    assert len(set(scores[:, 0, 0])) == 3
    mixed = model([images, labels[classes]])["scores"].numpy()
    np.testing.assert_array_equal(mixed[:, 0], scores[classes, range(4), 0])

    mapping = Generator(CONFIG, channels=3, label_size=3).mapping()
    same = np.repeat(normal(1, 6), 3, axis=0)
    styles = mapping([same, labels]).numpy()
    assert relative(styles[0], styles[1]) > 0.1
    assert relative(styles[0], styles[2]) > 0.1


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_styles_images_and_scores_are_float32_under_every_precision(precision: str) -> None:
    sizes: dict[str, Any] = {"channels": 3, "label_size": 2}
    conditions = [tf.constant(normal(4, 6)), tf.constant(LABELS)]
    half, full = (
        (
            generator.mapping(),
            with_normal_weights(generator.model(8, fading=True)),
            Discriminator(CONFIG, precision=p, **sizes).model(8, fading=True),
        )
        for p in (precision, "float32")
        for generator in [Generator(CONFIG, precision=p, **sizes)]
    )
    styles, images = (model(conditions) for model in half[:2])
    scores = half[2]([images, conditions[1]])["scores"]
    assert styles.dtype == images.dtype == scores.dtype == tf.float32
    assert {weight.dtype for model in half for weight in model.weights} == {"float32"}
    np.testing.assert_array_equal(styles, full[0](conditions))
    rounding = {"mixed_bfloat16": 2**-8, "mixed_float16": 2**-11}[precision]
    for ours, exact in (
        (images, full[1](conditions)),
        (scores, full[2]([images, conditions[1]])["scores"]),
    ):
        error = np.sqrt(np.mean(np.square(ours - exact))) / np.std(exact)
        assert 0 < error < 8 * rounding


@pytest.mark.slow
def test_networks_are_the_same_on_jax(on_jax: Callable[..., dict[str, np.ndarray]]) -> None:
    sizes = {"channels": 3, "label_size": 2}
    given = {
        "generator": (Generator, [normal(4, 6), LABELS]),
        "discriminator": (Discriminator, [normal(4, 8, 8, 3), LABELS]),
    }
    models = {}
    for network, (make, _) in given.items():
        maker = make(CONFIG, **sizes)
        models[network] = with_normal_weights(maker.model(8, fading=True))
        maker.fade.alpha.assign(0.5)
    found = on_jax(
        CONFIG,
        sizes | {"resolution": 8, "fading": True},
        {n: (models[n], given[n][1]) for n in given},
    )
    for network, model in models.items():
        [expected] = tf.nest.flatten(model(given[network][1]))
        assert relative(found[network], expected) < 2e-5
