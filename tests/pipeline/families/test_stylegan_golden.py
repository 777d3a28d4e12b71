"""StyleGAN against what the official networks computed from the same weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pipeline.families.stylegan.networks import Discriminator, Generator
from pipeline.interop.official import assign, read_snapshot

TOLERANCE = 2e-5


@dataclass(frozen=True)
class Golden:
    """One official file and our networks with its weights."""

    arrays: Any
    resolution: int
    fading: bool
    labelled: bool
    maker: Generator
    generator: keras.Model
    discriminator: keras.Model

    def inputs(self, key: str) -> Any:
        first = self.arrays[key]
        first = first.transpose(0, 2, 3, 1) if first.ndim == 4 else first
        return [first, self.arrays["in/labels"]] if self.labelled else first

    def noise(self) -> list[np.ndarray]:
        names = sorted(name for name in self.arrays.files if "/noise" in name)
        return [self.arrays[name].transpose(0, 2, 3, 1) for name in names]

    @property
    def images(self) -> np.ndarray:
        return self.arrays["out/img"].transpose(0, 2, 3, 1)


def load(path: Path, *, fused: bool) -> Golden:
    snapshot = read_snapshot(path)
    config = snapshot.network.model_copy(update={"fused": fused})
    makers = [
        make(config, channels=snapshot.channels, label_size=snapshot.label_size)
        for make in (Generator, Discriminator)
    ]
    models = [maker.model(snapshot.resolution, fading=snapshot.fading) for maker in makers]
    assign(models, snapshot.weights)
    return Golden(
        np.load(path.with_suffix(".npz"), allow_pickle=False),
        snapshot.resolution,
        snapshot.fading,
        bool(snapshot.label_size),
        makers[0],
        *models,
    )


@pytest.fixture(
    params=[
        ("stylegan_16_lod0", True),
        ("stylegan_16_lod0.4_labels", True),
        ("stylegan_16_lod0.4_labels", False),
    ],
    ids=lambda param: f"{param[0]}-{'fused' if param[1] else 'unfused'}",
    scope="module",
)
def golden(request: pytest.FixtureRequest, shared_folder: Path) -> Golden:
    name, fused = request.param
    return load(shared_folder / "golden" / f"{name}.pkl", fused=fused)


def assert_close(ours: Any, official: np.ndarray) -> None:
    """Relative to the largest absolute value."""
    difference = np.abs(np.asarray(ours) - official).max()
    assert difference <= TOLERANCE * np.abs(official).max()


def test_styles_are_the_official_styles(golden: Golden) -> None:
    styles = np.asarray(golden.maker.mapping()(golden.inputs("in/latents")))
    layers = golden.maker.layers(golden.resolution)
    assert_close(np.stack([styles] * layers, axis=1), golden.arrays["out/w"])


def test_images_with_fixed_noise_are_the_official_images(golden: Golden) -> None:
    assert_close(golden.generator(golden.inputs("in/latents")), golden.images)


def test_images_of_the_official_styles_and_noise_are_the_official_images(golden: Golden) -> None:
    synthesis = golden.maker.synthesis(golden.resolution, fading=golden.fading)
    assert_close(synthesis([golden.arrays["out/w"], *golden.noise()]), golden.images)


def test_scores_are_the_official_scores(golden: Golden) -> None:
    assert_close(
        golden.discriminator(golden.inputs("in/images"))["scores"], golden.arrays["out/scores"]
    )
