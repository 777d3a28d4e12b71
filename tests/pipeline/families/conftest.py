"""Sizes of models that were built, and what their networks compute on JAX."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.families.config import NetworkConfig


@pytest.fixture
def on_jax(
    jax_process: Callable[[str, Path], None], tmp_path: Path
) -> Callable[..., dict[str, np.ndarray]]:
    """Outputs of a family's networks on JAX, with the weights of models that are given.

    `sizes` are those of the networks, with the `resolution` of the models and whether it is
    `fading`.
    """

    def evaluate(
        config: NetworkConfig,
        sizes: dict[str, int],
        given: dict[str, tuple[keras.Model, list[np.ndarray]]],
    ) -> dict[str, np.ndarray]:
        arrays = {
            f"{network}/{kind}/{index}": value
            for network, (model, inputs) in given.items()
            for kind, values in (("weight", model.get_weights()), ("input", inputs))
            for index, value in enumerate(values)
        }
        np.savez(tmp_path / "given.npz", **arrays)
        asked = {"config": config.model_dump(), "sizes": sizes, "networks": [*given]}
        (tmp_path / "asked.json").write_text(json.dumps(asked))
        jax_process("tests.pipeline.families.evaluate_on_jax", tmp_path)
        return dict(np.load(tmp_path / "found.npz"))

    return evaluate
