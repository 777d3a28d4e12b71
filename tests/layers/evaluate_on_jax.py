"""A process of its own: evaluate serialised layers on JAX, eagerly and compiled, and differentiate.

`python evaluate_on_jax.py FOLDER` reads `layers.json` and `given.npz` there and writes `found.npz`.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

import layers as registered

Arrays = list[jax.Array]


def evaluate(layer: keras.layers.Layer, inputs: Arrays, slope: jax.Array) -> dict[str, Arrays]:
    """The outputs, the gradient of `f = sum(slope·y + y²/2)` and that of `sum((df/dinputs)²)`."""
    frozen = [weight.value for weight in layer.non_trainable_weights]

    def objective(inputs: Arrays, weights: Arrays) -> tuple[jax.Array, jax.Array]:
        given = inputs[0] if len(inputs) == 1 else inputs
        outputs = layer.stateless_call(weights, frozen, given)[0]
        return jnp.sum(slope * outputs + outputs**2 / 2), outputs

    # Each function hands on what it has found besides: nearly all time is compiling.
    gradients = partial(jax.grad, argnums=(0, 1), has_aux=True)

    def penalty(inputs: Arrays, weights: Arrays) -> tuple[jax.Array, tuple[jax.Array, Any]]:
        first, outputs = gradients(objective)(inputs, weights)
        return sum(jnp.sum(g**2) for g in first[0]), (outputs, first)

    weights = [weight.value for weight in layer.trainable_weights]
    second, (outputs, first) = jax.jit(gradients(penalty))(inputs, weights)
    eager = layer(inputs[0] if len(inputs) == 1 else inputs)
    return {
        "eager": [eager],
        "jit": [outputs],
        "first": [*first[0], *first[1]],
        "second": [*second[0], *second[1]],
    }


def main(folder: Path) -> None:
    assert keras.backend.backend() == "jax"
    assert registered.__all__
    given = np.load(folder / "given.npz")

    def arrays(index: int, kind: str) -> list[np.ndarray]:
        prefix = f"{index}/{kind}/"
        count = sum(key.startswith(prefix) for key in given)
        return [given[f"{prefix}{k}"].astype("float32") for k in range(count)]

    found = {}
    for index, archive in enumerate(json.loads((folder / "layers.json").read_text())):
        layer = keras.saving.deserialize_keras_object(archive)
        layer.set_weights(arrays(index, "weight"))
        inputs = [jnp.asarray(x) for x in arrays(index, "input")]
        results = evaluate(layer, inputs, arrays(index, "slope")[0])
        for kind, values in results.items():
            found |= {f"{index}/{kind}/{k}": np.asarray(value) for k, value in enumerate(values)}
    np.savez(folder / "found.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
