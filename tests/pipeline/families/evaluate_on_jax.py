"""Build networks with given weights and compute outputs, in the process that computes on JAX.

`main` reads `asked.json` and `given.npz` in a folder and writes `found.npz` there.
"""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np

from pipeline.families.family import family_of
from tests.pipeline.families.sections import section_of


def main(folder: Path) -> None:
    asked = json.loads((folder / "asked.json").read_text())
    given = np.load(folder / "given.npz")

    def arrays(kind: str) -> list[np.ndarray]:
        count = sum(name.startswith(f"{kind}/") for name in given.files)
        return [given[f"{kind}/{index}"] for index in range(count)]

    config, sizes = section_of(**asked["config"]), asked["sizes"]
    phase = {name: sizes.pop(name) for name in ("resolution", "fading")}
    found = {}
    for network in asked["networks"]:
        maker = getattr(family_of(config), network)(config, **sizes)
        model = maker.model(**phase)
        model.set_weights(arrays(f"{network}/weight"))
        trained, others = (
            [weight.value for weight in weights]
            for weights in (model.trainable_variables, model.non_trainable_variables)
        )
        inputs = arrays(f"{network}/input")
        outputs, _ = jax.jit(model.stateless_call)(
            trained, others, inputs[0] if len(inputs) == 1 else inputs
        )
        [found[network]] = map(np.asarray, jax.tree.leaves(outputs))
    np.savez(folder / "found.npz", **found)
