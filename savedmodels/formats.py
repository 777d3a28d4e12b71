"""A generator as one file of another framework: Keras, ONNX or TFLite."""

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

OPSET = 18
"""Operator set of ONNX: the first with every operation of the generators."""


def write_model(model: keras.Model, path: Path, *, lineage: Mapping[str, Any]) -> None:
    """Write a model, and beside it `<name>.json` with its lineage; files that are there go.

    `.keras` holds the model as it is, and loads after `import layers`. `.onnx` and `.tflite` hold
    nothing of the project: latents, with labels one-hot labels too, of any number of rows →
    `images` in [-1, 1], equal to those of the model up to rounding. Truncation, seeds and mixing
    are of SavedModels alone.

    Args:
        model: Latents, with labels `[latents, labels]`, to images.
        path: Ends in `.keras`, `.onnx` or `.tflite`.
        lineage: Lineage of the model.

    Raises:
        ValueError: if the path ends in something else.
        ModuleNotFoundError: if a package that writes the format is not installed.
        OSError: if a file cannot be written.
    """
    if path.suffix not in FORMATS:
        raise ValueError(f"`path` must end in {', '.join(FORMATS)}. Received: {path}")
    content = FORMATS[path.suffix](model)
    atomic.make_folder(path.parent)
    told = path.with_name(f"{path.name}.json")
    told.unlink(missing_ok=True)  # It must never stand beside another model.
    atomic.sync(path.parent)
    atomic.write_file(path, content)
    atomic.write_file(told, json.dumps(lineage, indent=2) + "\n")


def _keras(model: keras.Model) -> bytes:
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
    content: bytes = proto.SerializeToString()
    return content


def _tflite(model: keras.Model) -> bytes:
    holder = tf.Module()
    holder.images = _frozen(model)
    functions = [holder.images.get_concrete_function()]
    content: bytes = tf.lite.TFLiteConverter.from_concrete_functions(functions, holder).convert()
    return content


def _frozen(model: keras.Model) -> Any:
    """A function with constants for weights, as the runtime of TFLite does not find variables."""
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
        made, _ = model.stateless_call(*constants, asked, training=False)
        return {"images": tf.clip_by_value(made, -1.0, 1.0)}

    return images


FORMATS: Mapping[str, Callable[[keras.Model], bytes]] = MappingProxyType(
    {".keras": _keras, ".onnx": _onnx, ".tflite": _tflite}
)
"""What makes a file, by its ending."""
