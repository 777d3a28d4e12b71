"""Small StyleGANs, every one of the paper's table 1, and what tests compare of them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from pipeline.families.stylegan.config import StyleGANConfig
from tests.pipeline.families.sections import section_of

SMALL: dict[str, Any] = {"fmap_base": 64, "fmap_max": 8, "latent_size": 6}
STYLES = {"style_size": 5, "mapping_layers": 2, "mapping_rate": 1.0}
CONFIG = StyleGANConfig(**SMALL, **STYLES)

# Table 1 of the paper, by what differs from its last row.
TABLE: dict[str, dict[str, Any]] = {
    "B": {
        "styles": False,
        "mapping_layers": 0,
        "constant_input": False,
        "noise": False,
        "mixing": 0.0,
    },
    "C": {"constant_input": False, "noise": False, "mixing": 0.0},
    "D": {"noise": False, "mixing": 0.0},
    "E": {"mixing": 0.0},
    "F": {},
}
TABLE_1 = {"A": section_of(**SMALL)} | {
    row: StyleGANConfig(**SMALL, **(STYLES | keys)) for row, keys in TABLE.items()
}


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def with_normal_weights(model: keras.Model) -> keras.Model:
    """The same model: as it starts, strengths and biases are 0 and the constant has no variance."""
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    return model


def named(model: keras.Model) -> dict[str, keras.Variable]:
    """Weights as checkpoints name them, without the name of the network."""
    return {
        f"{layer.name}/{weight.name}".partition("_")[2]: weight
        for layer in model.layers
        for weight in layer.weights
    }


def relative(ours: Any, exact: Any) -> float:
    return float(np.abs(ours - exact).max() / np.abs(exact).max())
