"""Write a generator as one file for Keras, ONNX or TFLite (`growgan export --format`)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import tensorflow as tf

from savedmodels import atomic

OPSET = 18  # ONNX version: the oldest that has every operation of the generators


def write_model(model: keras.Model, path: Path, *, lineage: Mapping[str, Any]) -> None:
    """Write a model, and beside it its lineage to `<file name>.json`; replace existing files.

    A `.keras` file loads after `import layers`. Files in `.onnx` and `.tflite` load without this
    project; their images equal the model's up to rounding, and are clipped to [-1, 1].

    Args:
        model: Generator from latents, or `[latents, labels]`, to images.
        path: File to write; its ending `.keras`, `.onnx` or `.tflite` chooses the format.
        lineage: Data, configuration, code and checkpoint that the model comes from.

    Raises:
        ValueError: if the path has another ending.
        ModuleNotFoundError: if a package that writes the format is not installed.
        OSError: if a file cannot be written.
    """
    if path.suffix not in FORMATS:
        raise ValueError(f"`path` must end in {', '.join(FORMATS)}. Received: {path}")
    content = FORMATS[path.suffix](model)
    atomic.make_folder(path.parent)
    lineage_file = path.with_name(f"{path.name}.json")
    # Remove the old lineage first: a kill between the writes must not pair it with the new model.
    lineage_file.unlink(missing_ok=True)
    atomic.sync(path.parent)
    atomic.write_file(path, content)
    atomic.write_file(lineage_file, json.dumps(lineage, indent=2) + "\n")


def _keras(model: keras.Model) -> bytes:
    # Save to a temporary file, because Keras writes to a path only, and not atomically.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        return path.read_bytes()


def _onnx(model: keras.Model) -> bytes:
    import tf2onnx

    function = _freeze(model)
    proto, _ = tf2onnx.convert.from_function(
        function, input_signature=function.input_signature, opset=OPSET
    )
    return bytes(proto.SerializeToString())


def _tflite(model: keras.Model) -> bytes:
    holder = tf.Module()
    holder.images = _freeze(model)
    functions = [holder.images.get_concrete_function()]
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions(functions, holder).convert())


def _freeze(model: keras.Model) -> Any:
    """Make a function with constant weights: the TFLite runtime finds no variables."""
    specs = [
        tf.TensorSpec((None, *tensor.shape[1:]), tf.float32, name=tensor.name)
        for tensor in model.inputs
    ]
    weights = [
        [variable.numpy() for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    ]

    @tf.function(input_signature=specs, autograph=False)
    def images(*inputs: Any) -> dict[str, Any]:
        constants = ([tf.constant(value) for value in values] for values in weights)
        given = inputs[0] if len(inputs) == 1 else list(inputs)
        # Call the model stateless, so that constants can replace its variables.
        made, _ = model.stateless_call(*constants, given, training=False)
        return {"images": tf.clip_by_value(made, -1.0, 1.0)}

    return images


FORMATS: Mapping[str, Callable[[keras.Model], bytes]] = MappingProxyType(
    {".keras": _keras, ".onnx": _onnx, ".tflite": _tflite}
)
"""Functions that convert a model to a file's content, by the file's ending."""
