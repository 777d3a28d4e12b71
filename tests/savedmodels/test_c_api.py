"""TensorFlow's C API: every type there and back, and errors as exceptions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from savedmodels import c_api, golden

NUMBERS = [
    *(np.float16, np.float32, np.float64, np.complex64, np.complex128, np.bool_),
    *(np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
]


@pytest.fixture(scope="module", name="echo")
def _echo(tmp_path_factory: pytest.TempPathFactory) -> Callable[[np.ndarray], np.ndarray]:
    """What a model gives back that answers what it is asked, by the C API."""
    folder = tmp_path_factory.mktemp("echo") / "1"
    module = tf.Module()
    types = [*map(tf.as_dtype, NUMBERS), tf.string]
    module.echoes = {
        dtype.name: tf.function(
            lambda x: {"y": tf.identity(x)}, input_signature=[tf.TensorSpec(None, dtype, "x")]
        )
        for dtype in types
    }
    tf.saved_model.save(module, str(folder), signatures=module.echoes)
    content = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    signatures = content.meta_graphs[0].signature_def
    session = c_api.Session(folder)

    def echo(array: np.ndarray) -> np.ndarray:
        dtype = "string" if array.dtype == object else array.dtype.name
        signature = signatures[dtype]
        [answer] = session.run({signature.inputs["x"].name: array}, [signature.outputs["y"].name])
        return answer

    return echo


@pytest.mark.parametrize("dtype", NUMBERS, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 1, 3)], ids=str)
def test_numbers(echo: Callable[..., Any], dtype: Any, shape: tuple[int, ...]) -> None:
    array = (100 * np.random.default_rng(1).random(shape)).astype(dtype)
    assert golden.difference(np.asarray(array), echo(np.asarray(array))) == ""


def test_arrays_that_are_not_contiguous(echo: Callable[..., Any]) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]
    assert golden.difference(array, echo(array)) == ""


@pytest.mark.parametrize(
    "strings",
    [b"", [b"short", b"\0zeros\0", bytes(range(256)) * 40], [[b"x" * 22], [b"y" * 23]], []],
    ids=["scalar", "vector", "matrix", "empty"],
)
def test_strings(echo: Callable[..., Any], strings: Any) -> None:
    array = np.array(strings, object)
    for _ in range(3):  # Memory that was freed twice would show.
        assert golden.difference(array, echo(array)) == ""


@pytest.mark.new_interpreter
def test_tensorflow_python_is_not_started(scaling: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from savedmodels.c_api import Session;"
        f"Session(Path({str(scaling)!r})); sys.exit('tensorflow' in sys.modules)"
    )
    root = Path(c_api.__file__).parents[1]
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True)


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Could not find SavedModel"):
        c_api.Session(tmp_path)


def test_what_is_not_in_the_graph(scaling: Path) -> None:
    session = c_api.Session(scaling)
    with pytest.raises(RuntimeError, match="no operation nowhere"):
        session.run({}, ["nowhere:0"])


def test_a_message_of_tensorflow(scaling: Path) -> None:
    session = c_api.Session(scaling)
    unfed = r"You must feed a value for placeholder tensor '\w+' with dtype"
    with pytest.raises(RuntimeError, match=unfed):  # Whichever is found first.
        session.run({}, ["StatefulPartitionedCall:0", "StatefulPartitionedCall_1:0"])
