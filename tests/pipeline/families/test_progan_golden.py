"""ProGAN against what the official networks computed from the same weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from layers.resample import box_down, nearest_up
from pipeline.families.official.growing import weight_of
from pipeline.families.official.snapshot import OfficialSnapshot
from pipeline.families.progan.official_weights import RULES
from pipeline.interop.official import official_models, read_snapshot
from pipeline.objectives.penalties import mix, squared_gradient, two_sided

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Golden:
    """Results of the official networks, and ours with their weights."""

    arrays: Any
    snapshot: OfficialSnapshot
    generator: keras.Model
    discriminator: keras.Model

    @property
    def down(self) -> int:
        return self.snapshot.final // self.snapshot.resolution

    @property
    def label_size(self) -> int:
        return self.snapshot.label_size

    def images(self, key: str) -> Any:
        return tf.constant(self.arrays[key].transpose(0, 2, 3, 1))

    def at_phase(self, images: Any) -> Any:
        return box_down(images, self.down) if self.down > 1 else images


def load(path: Path, *, fused_generator: bool) -> Golden:
    snapshot = read_snapshot(path)
    # The files hold the unfused form, whose average in D comes after the activation.
    assert not snapshot.network.fused
    models = official_models(snapshot)
    fused = replace(snapshot, network=snapshot.network.model_copy(update={"fused": True}))
    generator = official_models(fused).generator if fused_generator else models.generator
    arrays = np.load(path.with_suffix(".npz"), allow_pickle=False)
    return Golden(arrays, snapshot, generator, models.discriminator)


@pytest.fixture(params=["progan_16_lod0", "progan_16_lod0.4", "progan_16_labels"], scope="module")
def golden(request: pytest.FixtureRequest, shared_folder: Path) -> Golden:
    return load(shared_folder / "golden" / f"{request.param}.pkl", fused_generator=True)


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
    path = shared_folder / "golden" / "progan_16_lod0.4.pkl"
    unfused = load(path, fused_generator=False)
    assert_close(generate(unfused, unfused.generator), unfused.images("out/img"))


def test_scores_are_the_official_scores(golden: Golden) -> None:
    outputs = golden.discriminator(golden.at_phase(golden.images("in/images")))
    assert ("logits" in outputs) == bool(golden.label_size)
    if golden.label_size:
        assert_close(outputs["logits"], golden.arrays["out/labels"])
    assert_close(outputs["scores"], golden.arrays["out/scores"])


def test_gradient_penalty_and_its_second_order_gradients(golden: Golden) -> None:
    def critic(images: Any) -> Any:
        return golden.discriminator(golden.at_phase(images))["scores"]

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
        variable = name.removeprefix("out/gp_grad/D/")
        final = golden.snapshot.final
        weight, value = weight_of(variable, golden.arrays[name], RULES, final)
        if f"discriminator_{weight}" in gradients:
            assert_close(gradients[f"discriminator_{weight}"], value)
            compared += 1
        else:  # a level of detail that is not active in this phase
            assert not value.any()
    assert compared >= 6
