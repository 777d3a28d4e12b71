"""Golden requests: requests to a SavedModel and its answers, recorded in its folder at export.

`growgan verify` sends the requests again and compares the answers.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from savedmodels import atomic, warmup
from savedmodels.layout import GOLDEN
from savedmodels.literal_path import literal
from savedmodels.machine import Machine, this_machine

Arrays = Mapping[str, npt.NDArray[Any]]
THREADS_VARIABLE = "TF_NUM_INTRAOP_THREADS"
"""Environment variable that sets TensorFlow's threads per operation, read when it starts."""
# Names of the entries that describe the origin; all others are arrays of requests and answers.
_THREADS = "intra_op_threads"
_MACHINE = "machine"
_END = b"."  # any byte except zero; see `_pack`


class Request(NamedTuple):
    """Inputs and outputs of one request, by name; strings are `bytes` in arrays of objects."""

    inputs: Arrays
    outputs: Arrays


class Origin(NamedTuple):
    """Threads and machine that recorded the answers; None in files of older GrowGAN versions."""

    threads: int | None = None
    machine: Machine | None = None


UNKNOWN_ORIGIN = Origin()


def record(folder: Path, requests: Mapping[str, Mapping[str, Any]]) -> None:
    """Load a SavedModel, send it requests, and write them and the answers into `assets.extra`.

    The requests are written a second time, as warm-up requests for TensorFlow Serving.

    Args:
        folder: Folder of the SavedModel.
        requests: One request per signature, by name: a value for each input, in the input's dtype
            or in one that TensorFlow converts to it.

    Raises:
        ValueError: if a signature or an input of the model has no value, a name is unknown, or an
            answer has a type that NumPy lacks.
    """
    # Import here: the C API's process imports this module, and must not load TensorFlow twice.
    import tensorflow as tf

    # Load the written files, as servers do, instead of asking the models in memory.
    with literal(folder) as path:
        model = tf.saved_model.load(str(path))
    signatures = model.signatures
    if set(requests) != set(signatures):
        raise ValueError(
            "`requests` must be for the signatures of the model, which are "
            f"{sorted(signatures)}. Received: {sorted(requests)}"
        )
    recorded = {}
    for name, given in requests.items():
        _, specs = signatures[name].structured_input_signature
        if set(given) != set(specs):
            raise ValueError(
                f"a request for `{name}` must have a value for each of {sorted(specs)}. "
                f"Received: {sorted(given)}"
            )
        inputs = {key: tf.constant(value, specs[key].dtype) for key, value in given.items()}
        outputs = signatures[name](**inputs)
        recorded[name] = Request(arrays_of(inputs), arrays_of(outputs))
    (folder / GOLDEN).parent.mkdir(exist_ok=True)
    # Record the number of threads: it changes the order of sums. TensorFlow's 0 means automatic.
    threads = tf.config.threading.get_intra_op_parallelism_threads() or int(
        os.environ.get(THREADS_VARIABLE) or len(os.sched_getaffinity(0))
    )
    write(folder / GOLDEN, recorded, Origin(threads, this_machine()))
    warmup.write(folder, {name: request.inputs for name, request in recorded.items()})


def arrays_of(tensors: Mapping[str, Any]) -> Arrays:
    """Convert tensors to arrays of the same shape, also scalar strings."""
    return {name: array_of(tensor.numpy()) for name, tensor in tensors.items()}


def array_of(value: Any) -> npt.NDArray[Any]:
    """Convert a result of TensorFlow, which may be a bare scalar, to an array."""
    return np.array(value, dtype=object) if isinstance(value, bytes) else np.asarray(value)


def difference(recorded: npt.NDArray[Any], answered: npt.NDArray[Any]) -> str:
    """Describe how an answer differs from the recorded one; empty if both are equal bit for bit."""
    kinds = [f"{_kind(array)} {array.shape}" for array in (answered, recorded)]
    if kinds[0] != kinds[1]:
        # Compare shapes and types first: NumPy would broadcast or convert silently.
        return f"is {kinds[0]} in place of {kinds[1]}"
    if recorded.dtype == object:
        count = np.count_nonzero(recorded != answered)
        return f"{count} of {recorded.size} strings differ" if count else ""
    count = np.count_nonzero(_bits(recorded) != _bits(answered))
    if not count:
        return ""
    # Silence NumPy's warnings: values may be infinite or NaN, and this is only a report.
    with np.errstate(invalid="ignore", over="ignore"):
        wide = np.promote_types(recorded.dtype, np.float64)
        largest = np.max(np.abs(answered.astype(wide) - recorded.astype(wide)))
    return f"{count} of {recorded.size} values differ, by {largest:.3g} at most"


def _kind(array: npt.NDArray[Any]) -> str:
    return "string" if array.dtype == object else array.dtype.name


def _bits(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # View numbers as bytes to compare: as numbers, NaN differs from itself and 0 equals -0.
    return np.ascontiguousarray(array).reshape(-1).view(f"V{array.itemsize}")


def write(path: Path, requests: Mapping[str, Request], origin: Origin = UNKNOWN_ORIGIN) -> None:
    """Write an npz file without pickles; keys are `SIGNATURE/inputs/NAME` and `…/outputs/NAME`."""
    content = io.BytesIO()
    arrays: dict[str, Any] = {
        f"{signature}/{side}/{name}": _pack(array)
        for signature, request in requests.items()
        for side, named in request._asdict().items()
        for name, array in named.items()
    }
    if origin.threads is not None:
        arrays[_THREADS] = origin.threads
    if origin.machine is not None:
        arrays[_MACHINE] = json.dumps(asdict(origin.machine))
    np.savez(content, **arrays)
    atomic.write_file(path, content.getvalue())


def read(path: Path) -> dict[str, Request]:
    """Read the requests and answers in a golden file.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if the file is damaged, or no golden file.
    """
    requests: dict[str, Request] = {}
    with _open(path) as content:
        for key in content.files:
            if key not in (_THREADS, _MACHINE):
                signature, side, name = key.rsplit("/", 2)
                named = requests.setdefault(signature, Request({}, {}))._asdict()[side]
                named[name] = _unpack(content[key])
    return requests


def read_origin(path: Path) -> Origin:
    """Read the origin of the answers in a golden file; errors are those of `read`."""
    with _open(path) as content:
        threads = int(content[_THREADS]) if _THREADS in content.files else None
        if _MACHINE not in content.files:
            return Origin(threads)
        facts = dict(json.loads(str(content[_MACHINE])))
        return Origin(threads, Machine(**{name: str(value) for name, value in facts.items()}))


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    # Read into memory first: a bad offset in the zip then raises ValueError, not OSError.
    file = io.BytesIO(path.read_bytes())
    try:
        with zipfile.ZipFile(file) as archive:
            # Refuse compressed files; `write` never compresses.
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise ValueError("it is compressed, so a small file could fill the memory")
        file.seek(0)
        with np.load(file, allow_pickle=False) as content:
            yield content
    except (
        *(ValueError, EOFError, KeyError, TypeError, MemoryError, OverflowError),
        *(zipfile.BadZipFile, zlib.error),
        RuntimeError,  # from `zipfile`, if a flipped bit marks the file as encrypted
    ) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _pack(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype == object:
        # Append an end mark, because NumPy drops zero bytes at the end of a string.
        marked = [string + _END for string in array.flat]
        return np.array(marked, dtype=bytes).reshape(array.shape)
    if array.dtype.kind not in "biufc":
        raise ValueError(
            f"a golden request must hold numbers or strings. Received: an array of {array.dtype}"
        )
    return array


def _unpack(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype.kind != "S":
        return array
    unpacked = np.empty(array.size, object)
    unpacked[:] = [string.removesuffix(_END) for string in array.flat]
    return unpacked.reshape(array.shape)
