"""StyleGAN2 against what the official networks computed from the same weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.families.stylegan2.networks import Discriminator, Generator
from pipeline.interop.official import assign, read_snapshot
from pipeline.objectives.path_length import path_lengths
from pipeline.objectives.penalties import squared_gradient

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Golden:
    """One official file and our networks with its weights."""

    arrays: Any
    resolution: int
    labelled: bool
    generator: Generator
    discriminator: keras.Model

    def images(self, key: str) -> Any:
        return tf.constant(self.arrays[key].transpose(0, 2, 3, 1))

    def with_labels(self, first: Any) -> Any:
        first = tf.convert_to_tensor(first)
        return [first, tf.constant(self.arrays["in/labels"])] if self.labelled else first

    def styles(self, **truncation: Any) -> Any:
        w = self.generator.mapping()(self.with_labels(self.arrays["in/latents"]))
        layers = self.generator.layers(self.resolution)
        return self.generator.truncation(tf.repeat(w[:, None], layers, axis=1), **truncation)

    def fixed_noise(self) -> list[Any]:
        shapes = self.generator.noise_shapes(self.resolution)
        model = self.generator.model(self.resolution, fading=False)
        return [model.get_layer(f"generator_{name}").map[None] for name in shapes]

    def synthesis(self) -> keras.Model:
        return self.generator.synthesis(self.resolution, fading=False)


def load(path: Path, *, fused: bool = True) -> Golden:
    snapshot = read_snapshot(path)
    config = snapshot.network.model_copy(update={"fused": fused})
    sizes = {"channels": snapshot.channels, "label_size": snapshot.label_size}
    generator = Generator(config, **sizes)
    discriminator = Discriminator(config, **sizes).model(snapshot.resolution, fading=False)
    models = (generator.model(snapshot.resolution, fading=False), discriminator)
    assign(models, snapshot.weights)
    arrays = np.load(path, allow_pickle=False)
    labelled = bool(snapshot.label_size)
    return Golden(arrays, snapshot.resolution, labelled, generator, discriminator)


@pytest.fixture(params=["stylegan2_16", "stylegan2_16_labels"], scope="module")
def golden(request: pytest.FixtureRequest, shared_folder: Path) -> Golden:
    return load(shared_folder / "golden" / f"{request.param}.npz")


def assert_close(ours: Any, official: np.ndarray) -> None:
    """Within 1e-4 of the largest absolute value."""
    assert ours.shape == official.shape
    difference = np.abs(np.asarray(ours) - official).max()
    assert difference <= TOLERANCE * np.abs(official).max()


def test_styles_are_the_official_styles(golden: Golden) -> None:
    assert_close(golden.styles(), golden.arrays["out/w"])
    assert_close(golden.styles(psi=0.7), golden.arrays["out/w_psi07"])


def test_images_are_the_official_images(golden: Golden) -> None:
    latents = golden.with_labels(golden.arrays["in/latents"])
    images = golden.generator.model(golden.resolution, fading=False)(latents)
    assert_close(images, golden.images("out/img_const_noise"))
    images = golden.synthesis()([golden.styles(), *golden.fixed_noise()])
    assert_close(images, golden.images("out/img_const_noise"))


def test_truncated_images_without_noise_are_the_official_images(golden: Golden) -> None:
    silence = [tf.zeros_like(noise) for noise in golden.fixed_noise()]
    images = golden.synthesis()([golden.styles(psi=0.7), *silence])
    assert_close(images, golden.images("out/img_psi07_no_noise"))


def test_scores_are_the_official_scores(golden: Golden) -> None:
    images = golden.images("in/images")
    assert_close(
        golden.discriminator(golden.with_labels(images))["scores"], golden.arrays["out/scores"]
    )


def test_gradients_at_reals_are_the_official_ones(golden: Golden) -> None:
    squares = squared_gradient(
        lambda images: golden.discriminator(golden.with_labels(images))["scores"],
        golden.images("in/images"),
    )
    assert_close(squares, golden.arrays["out/r1_per_sample"])


def test_path_lengths_are_the_official_ones(golden: Golden) -> None:
    synthesis, noise = golden.synthesis(), golden.fixed_noise()
    lengths = path_lengths(
        lambda styles: synthesis([styles, *noise]), golden.styles(), golden.images("in/pl_noise")
    )
    assert_close(lengths, golden.arrays["out/path_lengths"])
