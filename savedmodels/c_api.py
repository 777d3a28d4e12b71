"""TensorFlow's C API through ctypes, to load a SavedModel with the code of TensorFlow Serving.

`growgan verify` uses it in a process without TensorFlow's Python package.
"""

from __future__ import annotations

import ctypes
import importlib.util
import math
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_STRING = 7  # TF_STRING in `TF_DataType`; it has no NumPy dtype of its own
_DTYPES: dict[int, npt.DTypeLike] = {
    1: np.float32,
    2: np.float64,
    3: np.int32,
    4: np.uint8,
    5: np.int16,
    6: np.int8,
    8: np.complex64,
    9: np.int64,
    10: np.bool_,
    17: np.uint16,
    18: np.complex128,
    19: np.float16,
    22: np.uint32,
    23: np.uint64,
}
"""NumPy dtype of each `TF_DataType` number, for the types that NumPy has."""
_CODES = {np.dtype(dtype): code for code, dtype in _DTYPES.items()}
_STRING_SIZE = 24  # bytes of a `TF_TString` in a tensor; a long text is stored elsewhere


class _Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


_POINTER, _INT, _SIZE = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
_POINTERS, _OUTPUTS = ctypes.POINTER(_POINTER), ctypes.POINTER(_Output)
_PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "TF_AllocateTensor": (_POINTER, _INT, ctypes.POINTER(ctypes.c_int64), _INT, _SIZE),
    "TF_DeleteSessionOptions": (None, _POINTER),
    "TF_DeleteTensor": (None, _POINTER),
    "TF_Dim": (ctypes.c_int64, _POINTER, _INT),
    "TF_GetCode": (_INT, _POINTER),
    "TF_GraphOperationByName": (_POINTER, _POINTER, ctypes.c_char_p),
    "TF_LoadSessionFromSavedModel": (
        *(_POINTER, _POINTER, _POINTER, ctypes.c_char_p),
        *(ctypes.POINTER(ctypes.c_char_p), _INT, _POINTER, _POINTER, _POINTER),
    ),
    "TF_Message": (ctypes.c_char_p, _POINTER),
    "TF_NewGraph": (_POINTER,),
    "TF_NewSessionOptions": (_POINTER,),
    "TF_NewStatus": (_POINTER,),
    "TF_NumDims": (_INT, _POINTER),
    "TF_SessionRun": (
        *(None, _POINTER, _POINTER, _OUTPUTS, _POINTERS, _INT, _OUTPUTS, _POINTERS, _INT),
        *(_POINTERS, _INT, _POINTER, _POINTER),
    ),
    "TF_StringCopy": (None, _POINTER, ctypes.c_char_p, _SIZE),
    "TF_StringDealloc": (None, _POINTER),
    "TF_StringGetDataPointer": (_POINTER, _POINTER),
    "TF_StringGetSize": (_SIZE, _POINTER),
    "TF_StringInit": (None, _POINTER),
    "TF_TensorByteSize": (_SIZE, _POINTER),
    "TF_TensorData": (_POINTER, _POINTER),
    "TF_TensorElementCount": (ctypes.c_int64, _POINTER),
    "TF_TensorType": (_INT, _POINTER),
}
"""Result type and argument types of each function."""


@cache
def library() -> ctypes.CDLL:
    """Open TensorFlow's library without importing its Python package."""
    found = importlib.util.find_spec("tensorflow")
    if found is None or found.origin is None:
        raise ImportError("TensorFlow is not installed")
    # Keep ctypes' default RTLD_LOCAL: global symbols would replace those of NumPy's extensions.
    opened = ctypes.CDLL(str(Path(found.origin).with_name("libtensorflow_cc.so.2")))
    # Set the types of arguments and results: ctypes would cut pointers to 32 bits by default.
    for name, (result, *arguments) in _PROTOTYPES.items():
        function = getattr(opened, name)
        function.restype, function.argtypes = result, arguments
    return opened


class Session:
    """SavedModel loaded by `TF_LoadSessionFromSavedModel`, and kept until the process ends.

    Errors of TensorFlow are raised as RuntimeError.
    """

    def __init__(self, folder: Path) -> None:
        self._library = library()
        self._status = self._library.TF_NewStatus()
        self._graph = self._library.TF_NewGraph()
        options = self._library.TF_NewSessionOptions()
        try:
            tags = (ctypes.c_char_p * 1)(b"serve")
            self._session = self._library.TF_LoadSessionFromSavedModel(
                *(options, None, os.fsencode(folder), tags, len(tags)),
                *(self._graph, None, self._status),
            )
        finally:
            self._library.TF_DeleteSessionOptions(options)
        self._require_success()

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> list[Array]:
        """Feed arrays and fetch tensors, both by tensor names such as `serving_default_latents:0`.

        Strings are `bytes` in arrays of objects.
        """
        inputs = (_Output * len(feeds))(*map(self._output, feeds))
        outputs = (_Output * len(fetches))(*map(self._output, fetches))
        given = (_POINTER * len(feeds))(*map(self._tensor, feeds.values()))
        answers = (_POINTER * len(fetches))()
        try:
            self._library.TF_SessionRun(
                *(self._session, None, inputs, given, len(feeds)),
                *(outputs, answers, len(fetches), None, 0, None, self._status),
            )
            self._require_success()
            return [self._array(tensor) for tensor in answers]
        finally:
            for tensor in given:
                # Free the strings first: TF_DeleteTensor would leak the text that `_tensor` copied.
                for string in self._strings(tensor):
                    self._library.TF_StringDealloc(string)
                self._library.TF_DeleteTensor(tensor)
            for tensor in filter(None, answers):
                self._library.TF_DeleteTensor(tensor)

    def _output(self, tensor: str) -> _Output:
        name, _, index = tensor.partition(":")
        operation = self._library.TF_GraphOperationByName(self._graph, name.encode())
        # Raise here, because TF_SessionRun would crash.
        if operation is None:
            raise RuntimeError(f"the graph has no operation {name}")
        return _Output(operation, int(index or 0))

    def _tensor(self, array: Array) -> int:
        is_string = array.dtype == object
        code = _STRING if is_string else _CODES[array.dtype]
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        size = array.size * _STRING_SIZE if is_string else array.nbytes
        tensor: int = self._library.TF_AllocateTensor(code, shape, array.ndim, size)
        if is_string:
            for place, string in zip(self._strings(tensor), array.flat, strict=True):
                self._library.TF_StringInit(place)
                self._library.TF_StringCopy(place, string, len(string))
        else:
            ctypes.memmove(self._library.TF_TensorData(tensor), array.tobytes(), size)
        return tensor

    def _array(self, tensor: int | None) -> Array:
        code = self._library.TF_TensorType(tensor)
        ndim = self._library.TF_NumDims(tensor)
        shape = [self._library.TF_Dim(tensor, axis) for axis in range(ndim)]
        if code == _STRING:
            array = np.empty(math.prod(shape), object)
            array[:] = [self._bytes(string) for string in self._strings(tensor)]
            return array.reshape(shape)
        if code not in _DTYPES:
            raise RuntimeError(f"an output has type {code} of TF_DataType, which NumPy lacks")
        size = self._library.TF_TensorByteSize(tensor)
        # Copy the content, because `run` frees the tensor.
        content = ctypes.string_at(self._library.TF_TensorData(tensor), size) if size else b""
        return np.frombuffer(content, _DTYPES[code]).reshape(shape)

    def _strings(self, tensor: int | None) -> list[int]:
        if self._library.TF_TensorType(tensor) != _STRING:
            return []
        first = self._library.TF_TensorData(tensor)
        count = self._library.TF_TensorElementCount(tensor)
        return [first + _STRING_SIZE * index for index in range(count)]

    def _bytes(self, string: int) -> bytes:
        size = self._library.TF_StringGetSize(string)
        return ctypes.string_at(self._library.TF_StringGetDataPointer(string), size)

    def _require_success(self) -> None:
        if self._library.TF_GetCode(self._status):
            raise RuntimeError(self._library.TF_Message(self._status).decode(errors="replace"))
