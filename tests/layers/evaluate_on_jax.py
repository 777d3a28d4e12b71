"""Evaluate serialised layers on JAX and differentiate them, in the process that computes on JAX.

`main` reads `layers.json` and `given.npz` in a folder and writes `found.npz` there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

import layers as registered

Arrays = list[jax.Array]
Function = Callable[[Arrays, Arrays], Any]


def gradients_of(layer: keras.layers.Layer, slope: np.ndarray) -> Function:
    """Make the gradient of `f = sum(slope·y + y²/2)`, which hands on `y` too."""
    frozen = [weight.value for weight in layer.non_trainable_weights]

    def objective(inputs: Arrays, weights: Arrays) -> tuple[jax.Array, jax.Array]:
        given = inputs[0] if len(inputs) == 1 else inputs
        outputs = layer.stateless_call(weights, frozen, given)[0]
        return jnp.sum(slope * outputs + outputs**2 / 2), outputs

    return jax.grad(objective, argnums=(0, 1), has_aux=True)


def gradients_of_penalty(gradients: Function) -> Function:
    """Make the gradient of `sum((df/dinputs)²)`."""

    def penalty(inputs: Arrays, weights: Arrays) -> jax.Array:
        first, _ = gradients(inputs, weights)
        return sum(jnp.sum(g**2) for g in first[0])

    return jax.grad(penalty, argnums=(0, 1))


def main(folder: Path) -> None:
    assert registered.__all__
    given = np.load(folder / "given.npz")

    def arrays(index: int, kind: str) -> list[np.ndarray]:
        prefix = f"{index}/{kind}/"
        count = sum(key.startswith(prefix) for key in given)
        return [given[f"{prefix}{k}"].astype("float32") for k in range(count)]

    asked = json.loads((folder / "layers.json").read_text())
    built, functions, arguments = [], [], []
    for index, archive in enumerate(asked["layers"]):
        layer = keras.saving.deserialize_keras_object(archive)
        layer.set_weights(arrays(index, "weight"))
        gradients = gradients_of(layer, arrays(index, "slope")[0])
        functions.append(gradients if asked["order"] == 1 else gradients_of_penalty(gradients))
        inputs = [jnp.asarray(x) for x in arrays(index, "input")]
        arguments.append((inputs, [weight.value for weight in layer.trainable_weights]))
        built.append(layer)

    @jax.jit  # All at once: nearly all of the time is compiling, and much of that is starting to.
    def every(arguments: list[tuple[Arrays, Arrays]]) -> list[Any]:
        return [function(*each) for function, each in zip(functions, arguments, strict=True)]

    found = {}
    for index, result in enumerate(every(arguments)):
        if asked["order"] == 1:
            first, outputs = result
            results = {"jit": [outputs], "first": [*first[0], *first[1]]}
        else:
            inputs = arguments[index][0]
            eager = built[index](inputs[0] if len(inputs) == 1 else inputs)
            results = {"eager": [eager], "second": [*result[0], *result[1]]}
        for kind, values in results.items():
            found |= {f"{index}/{kind}/{k}": np.asarray(value) for k, value in enumerate(values)}
    np.savez(folder / "found.npz", **found)
