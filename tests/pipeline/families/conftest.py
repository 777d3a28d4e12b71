"""Sizes of models that were built, and what their networks compute on JAX."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from layers.adain import AdaIN
from layers.blur import Blur
from layers.equalized import EqualizedConv2D, EqualizedDense
from layers.modulated import ModulatedConv2D
from layers.upfirdn import FIRDown2D, FIRUp2D
from pipeline.families.config import NetworkConfig
from pipeline.families.network import Size


def counted(model: keras.Model) -> Size:
    """The size of a built model, from its kernels and the shapes of what they read and write."""
    multiplications = values = 0
    for layer in model.layers:
        if isinstance(layer, AdaIN):
            multiplications += math.prod(layer.affine.kernel.shape)
            values += layer.affine.units
        elif isinstance(layer, Blur | FIRUp2D | FIRDown2D):
            size = math.prod(layer.output.shape[1:])
            multiplications += len(layer.taps) ** 2 * size
            values += size
        elif isinstance(layer, EqualizedConv2D):
            multiplied, made = _counted_convolution(layer)
            multiplications += multiplied
            values += made
        elif isinstance(layer, EqualizedDense):
            multiplications += math.prod(layer.kernel.shape)
            values += math.prod(layer.output.shape[1:])
    trained = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return Size(trained, multiplications, values)


def _counted_convolution(layer: EqualizedConv2D) -> tuple[int, int]:
    """Multiplications and values."""
    pairs = math.prod(layer.kernel.shape)
    features = layer.input[0] if isinstance(layer, ModulatedConv2D) else layer.input
    [_, before, _, channels], [_, after, _, filters] = features.shape, layer.output.shape
    pixels = min(before, after) ** 2 if layer.resample else after**2
    if not (layer.resample and layer.taps):
        pairs = pairs * 16 // 9 if layer.resample else pairs
        return pairs * pixels, after**2 * filters
    area = len(layer.taps) ** 2
    if layer.resample == "up":  # The filter reads one row and one column more than it gives.
        values = (after + 1) ** 2 * filters, after**2 * filters
        return pairs * pixels + area * values[1], sum(values)
    values = (before + 1) ** 2 * channels, after**2 * filters  # The convolution does.
    return pairs * pixels + area * values[0], sum(values)


@pytest.fixture(name="counted")
def _counted() -> Callable[[keras.Model], Size]:
    return counted


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
