"""A generator in parts makes the images that it makes as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.families.exportable import exportable_of
from pipeline.families.family import family_of
from pipeline.families.progan.config import ProGANConfig
from tests.pipeline.families.sections import section_of

SIZES: dict[str, Any] = {"fmap_max": 4, "latent_size": 6, "style_size": 5, "mapping_layers": 1}


@pytest.mark.parametrize(
    ("family", "keys", "layers"),
    [
        ("stylegan", {}, 4),
        ("stylegan", {"styles": False, "constant_input": False, "mixing": 0.0}, 1),
        ("stylegan2", {"noise": False}, 4),
    ],
)
def test_parts_make_the_images_of_the_whole(family: str, keys: dict[str, Any], layers: int) -> None:
    config = section_of(family=family, **SIZES, **keys)
    network = family_of(config).generator(config, channels=3, label_size=2, name="average")
    model = network.model(8, fading=False)
    draw = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(weight + draw.normal(size=weight.shape))
    exportable = exportable_of(network, model, resolution=8, fading=False)
    assert (exportable.latent_size, exportable.classes) == (6, 2)
    parts = exportable.styles
    assert parts is not None
    assert parts.truncation.mean is network.truncation.mean
    assert parts.synthesis.input_shape == (None, layers, 5)
    held = {id(weight) for weight in model.weights}
    assert {id(weight) for weight in (*parts.mapping.weights, *parts.synthesis.weights)} <= held
    asked = [draw.normal(size=(3, 6)).astype(np.float32), np.eye(2, dtype=np.float32)[[0, 1, 1]]]
    styles = parts.mapping(asked).numpy()[:, np.newaxis].repeat(layers, axis=1)
    np.testing.assert_allclose(parts.synthesis(styles), model(asked), atol=1e-5)


def test_a_family_without_styles_has_no_parts() -> None:
    config = ProGANConfig(fmap_max=4, latent_size=6)
    network = family_of(config).generator(config, channels=3)
    model = network.model(8, fading=True)
    exportable = exportable_of(network, model, resolution=8, fading=True, discriminator=model)
    assert exportable.model is exportable.discriminator is model
    assert exportable.styles is None
    assert exportable.classes == 0
