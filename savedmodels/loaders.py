"""Three ways to load a SavedModel and send it requests, all of which `growgan verify` tries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from savedmodels import c_api
from savedmodels.golden import Arrays, array_of, arrays_of
from savedmodels.literal_path import literal

Answer = Callable[[str, Arrays], Arrays]
"""Function from a signature's name and inputs to its outputs."""


@dataclass(frozen=True)
class Names:
    """Tensor names in the graph of a signature's inputs and outputs, by input or output name."""

    inputs: dict[str, str]
    outputs: dict[str, str]


Load = Callable[[Mapping[str, Names]], Answer]
"""Function that loads a SavedModel, given the `Names` of each signature."""


class DamagedModel(Exception):
    """Damage to the variables of a model; the message names their folder and the fault."""


def _saved_model(folder: Path) -> Load:
    """Load with TensorFlow 2, after a check of every variable."""
    import tensorflow as tf

    _check_variables(folder)  # Only in this loader: the others read the same files.

    def load(names: Mapping[str, Names]) -> Answer:
        with literal(folder) as path:
            model = tf.saved_model.load(str(path))

        def answer(name: str, inputs: Arrays) -> Arrays:
            given = {key: tf.constant(value) for key, value in inputs.items()}
            return arrays_of(model.signatures[name](**given))

        return answer

    return load


def _check_variables(folder: Path) -> None:
    import tensorflow as tf

    prefix = folder / "variables" / "variables"
    if not prefix.with_suffix(".index").exists():
        return
    try:
        with literal(prefix.parent) as path:
            reader = tf.train.load_checkpoint(str(path / prefix.name))
            # Read every variable: TensorFlow then compares its checksum.
            for name in reader.get_variable_to_shape_map():
                reader.get_tensor(name)
    except Exception as error:  # TensorFlow also raises Python errors such as IndexError.
        raise DamagedModel(f"{prefix.parent} is damaged: {error}") from error


def _session(folder: Path) -> Load:
    """Load into a session of TensorFlow 1 (`tf.compat.v1`)."""
    from tensorflow.compat import v1

    def load(names: Mapping[str, Names]) -> Answer:
        session = v1.Session(graph=v1.Graph())
        with session.graph.as_default(), literal(folder) as path:
            v1.saved_model.load(session, ["serve"], str(path))

        def answer(name: str, inputs: Arrays) -> Arrays:
            feeds = {names[name].inputs[key]: value for key, value in inputs.items()}
            values = session.run(names[name].outputs, feeds)
            return {key: array_of(value) for key, value in values.items()}

        return answer

    return load


def _c_api(folder: Path) -> Load:
    """Load with TensorFlow Serving's loader, without TensorFlow's Python package."""
    # Open the library now, so that the measured time to load does not include TensorFlow's start.
    c_api.library()

    def load(names: Mapping[str, Names]) -> Answer:
        with literal(folder) as path:
            session = c_api.Session(path)

        def answer(name: str, inputs: Arrays) -> Arrays:
            feeds = {names[name].inputs[key]: value for key, value in inputs.items()}
            outputs = names[name].outputs
            return dict(zip(outputs, session.run(feeds, list(outputs.values())), strict=True))

        return answer

    return load


C_API = "C API"
LOADERS = {"saved_model.load": _saved_model, "session loader": _session, C_API: _c_api}
"""Loaders by name: each imports TensorFlow and returns a function that loads the given folder."""
