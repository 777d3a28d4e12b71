"""Write a generator as one file for Keras, ONNX or TFLite."""

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

OPSET = 18  # of ONNX: the oldest that has every operation of the generators


def write_model(model: keras.Model, path: Path, *, lineage: Mapping[str, Any]) -> None:
    """Write a model, and its lineage to `<name>.json` beside it; existing files are replaced.

    `.keras` holds the Keras model, and loads after `import layers`. `.onnx` and `.tflite` load
    without this project; their images are clipped to [-1, 1] and equal the model's up to rounding.

    Args:
        model: Generator from latents, or `[latents, labels]`, to images.
        path: File to write; its ending `.keras`, `.onnx` or `.tflite` chooses the format.
        lineage: Lineage of the model.

    Raises:
        ValueError: if the path has another ending.
        ModuleNotFoundError: if a package that writes the format is not installed.
        OSError: if a file cannot be written.
    """
    if path.suffix not in FORMATS:
        raise ValueError(f"`path` must end in {', '.join(FORMATS)}. Received: {path}")
    content = FORMATS[path.suffix](model)
    atomic.make_folder(path.parent)
    told = path.with_name(f"{path.name}.json")
    # A kill between the two writes must not leave the lineage of another model.
    told.unlink(missing_ok=True)
    atomic.sync(path.parent)
    atomic.write_file(path, content)
    atomic.write_file(told, json.dumps(lineage, indent=2) + "\n")


def _keras(model: keras.Model) -> bytes:
    # Keras writes to a path only, and not atomically.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        return path.read_bytes()


def _onnx(model: keras.Model) -> bytes:
    import tf2onnx

    function = _frozen(model)
    proto, _ = tf2onnx.convert.from_function(
        function, input_signature=function.input_signature, opset=OPSET
    )
    return bytes(proto.SerializeToString())


def _tflite(model: keras.Model) -> bytes:
    holder = tf.Module()
    holder.images = _frozen(model)
    functions = [holder.images.get_concrete_function()]
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions(functions, holder).convert())


def _frozen(model: keras.Model) -> Any:
    # With constant weights, because the TFLite runtime finds no variables.
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
        asked = inputs[0] if len(inputs) == 1 else list(inputs)
        # Stateless, so that constants can replace the variables.
        made, _ = model.stateless_call(*constants, asked, training=False)
        return {"images": tf.clip_by_value(made, -1.0, 1.0)}

    return images


FORMATS: Mapping[str, Callable[[keras.Model], bytes]] = MappingProxyType(
    {".keras": _keras, ".onnx": _onnx, ".tflite": _tflite}
)
"""Function that makes a file's content, by the file's ending."""
