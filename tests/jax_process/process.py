"""Compute on JAX what tests ask for, one request after the other.

    KERAS_BACKEND=jax python -m tests.jax_process.process

Each line of the input is a JSON list of a module and a folder. The `main` of that module reads its
inputs from the folder and writes its results there. The answer is a line too: `null`, or the
traceback as JSON. Imports of JAX and Keras, and much of what they compile, then serve all tests.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

import keras
import numpy as np


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What a library prints is no answer.
    assert keras.backend.backend() == "jax"
    # Tests give all weights, and for every shape that is drawn JAX compiles anew.
    keras.initializers.RandomNormal.__call__ = lambda self, shape, dtype=None: np.zeros(shape)
    for line in sys.stdin:
        module, folder = json.loads(line)
        try:
            importlib.import_module(module).main(Path(folder))
            error = None
        except Exception:
            error = traceback.format_exc()
        print(json.dumps(error), file=answers, flush=True)


if __name__ == "__main__":
    main()
