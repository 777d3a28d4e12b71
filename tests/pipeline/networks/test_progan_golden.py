"""ProGAN against what the official networks computed from the same weights."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from layers.resample import box_down, nearest_up
from pipeline.config import NetworkConfig
from pipeline.networks.progan import Discriminator, Generator
from pipeline.objectives.penalties import mix, squared_gradient, two_sided

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Golden:
    """One official file and our networks with its weights."""

    arrays: Any
    resolution: int
    down: int
    alpha: float
    fading: bool
    label_size: int
    generator: keras.Model
    discriminator: keras.Model

    def images(self, key: str) -> Any:
        return tf.constant(self.arrays[key].transpose(0, 2, 3, 1))

    def at_phase(self, images: Any) -> Any:
        return box_down(images, self.down) if self.down > 1 else images


def official_value(name: str, variables: Any, final: int) -> tuple[str, np.ndarray]:
    """Our layer and weight, and the array in our layout, of one official variable."""
    value = variables[f"var/{name}"]
    network, *path, weight = name.split("/")
    prefix = {"G": "generator", "D": "discriminator"}[network]
    block = "/".join(path)
    if "lod" in block:
        size = final >> int(block.split("lod")[1])
        layer = f"{size}x{size}_{'to_rgb' if network == 'G' else 'from_rgb'}"
    else:
        layer = block.replace("/", "_").lower()
    if weight == "weight" and block == "4x4/Dense":  # latents → channels, rows, columns
        rows = len(value)
        value = value.reshape(rows, -1, 4, 4).transpose(0, 2, 3, 1).reshape(rows, -1)
    if weight == "weight" and block == "4x4/Dense0":  # channels, rows, columns → features
        value = value.reshape(-1, 4, 4, value.shape[1]).transpose(1, 2, 0, 3)
        value = value.reshape(-1, value.shape[3])
    return f"{prefix}_{layer}/{'kernel' if weight == 'weight' else 'bias'}", value


def load(path: Path, generator_fused: bool) -> Golden:
    arrays = np.load(path, allow_pickle=False)
    meta = json.loads(str(arrays["meta"]))
    lod = meta["lod"]
    down = 2 ** math.floor(lod)
    resolution = meta["res"] // down
    sizes = {
        "fmap_base": meta["fmap_base"],
        "fmap_max": meta["fmap_max"],
        "latent_size": meta["latent"],
    }
    common = {"channels": meta["ch"], "label_size": meta["label"]}
    generator_maker = Generator(NetworkConfig(**sizes, fused=generator_fused), **common)
    # The files hold the unfused form, whose average comes after the activation.
    discriminator_maker = Discriminator(NetworkConfig(**sizes, fused=False), **common)
    fading = lod != math.floor(lod)
    generator = generator_maker.model(resolution, fading=fading)
    discriminator = discriminator_maker.model(resolution, fading=fading)
    alpha = 1.0 - (lod - math.floor(lod))
    if fading:
        generator_maker.fade.alpha.assign(alpha)
        discriminator_maker.fade.alpha.assign(alpha)
    ours = {
        f"{layer.name}/{weight.name}": weight
        for model in (generator, discriminator)
        for layer in model.layers
        for weight in layer.weights
    }
    loaded = {f"{n}_fade/alpha" for n in ("generator", "discriminator")}
    for name in arrays.files:
        if name.startswith("var/") and not name.endswith("lod"):
            key, value = official_value(name.removeprefix("var/"), arrays, meta["res"])
            if key in ours:
                ours[key].assign(value)
                loaded.add(key)
    assert set(ours) <= loaded
    return Golden(arrays, resolution, down, alpha, fading, meta["label"], generator, discriminator)


@pytest.fixture(params=["progan_16_lod0", "progan_16_lod0.4", "progan_16_labels"], scope="module")
def golden(request: pytest.FixtureRequest, shared_folder: Path) -> Golden:
    return load(shared_folder / "golden" / f"{request.param}.npz", generator_fused=True)


def assert_close(ours: Any, official: np.ndarray) -> None:
    """Within 1e-4 of the largest absolute value."""
    difference = np.abs(np.asarray(ours) - official).max()
    assert difference <= TOLERANCE * np.abs(official).max()


def generate(golden: Golden, generator: keras.Model) -> Any:
    latents = golden.arrays["in/latents"]
    inputs = [latents, golden.arrays["in/labels"]] if golden.label_size else latents
    return nearest_up(generator(inputs), golden.down)


def test_images_are_the_official_images(golden: Golden) -> None:
    assert_close(generate(golden, golden.generator), golden.images("out/img"))


def test_unfused_generator_gives_the_same_images(shared_folder: Path) -> None:
    path = shared_folder / "golden" / "progan_16_lod0.4.npz"
    unfused = load(path, generator_fused=False)
    assert_close(generate(unfused, unfused.generator), unfused.images("out/img"))


def test_scores_are_the_official_scores(golden: Golden) -> None:
    outputs = golden.discriminator(golden.at_phase(golden.images("in/images")))
    if golden.label_size:
        scores, labels = outputs
        assert_close(labels, golden.arrays["out/labels"])
    else:
        scores = outputs
    assert_close(scores, golden.arrays["out/scores"])


def test_gradient_penalty_and_its_second_order_gradients(golden: Golden) -> None:
    def critic(images: Any) -> Any:
        outputs = golden.discriminator(golden.at_phase(images))
        return outputs[0] if golden.label_size else outputs

    weights = {
        f"{layer.name}/{weight.name}": weight.value
        for layer in golden.discriminator.layers
        for weight in layer.trainable_weights
    }
    weights_of_fakes = golden.arrays["in/mix"].transpose(0, 2, 3, 1)
    reals, fakes = golden.images("in/images"), golden.images("in/fakes")
    with tf.GradientTape() as tape:
        penalty = two_sided(squared_gradient(critic, mix(reals, fakes, weights_of_fakes)))
        loss = 10.0 * tf.reduce_mean(penalty)
    assert_close(penalty, golden.arrays["out/gp_per_sample"])

    gradients = tape.gradient(loss, weights)
    compared = 0
    for name in golden.arrays.files:
        if not name.startswith("out/gp_grad/"):
            continue
        official = {f"var/{name.removeprefix('out/gp_grad/')}": golden.arrays[name]}
        final = golden.resolution * golden.down
        key, value = official_value(name.removeprefix("out/gp_grad/"), official, final)
        if key in gradients:
            assert_close(gradients[key], value)
            compared += 1
        else:  # a level of detail that is not active in this phase
            assert not value.any()
    assert compared >= 6
