"""Pickled dictionaries of plain values and arrays of bytes, read without running code."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pipeline.data.sources.reason import reason_of
from pipeline.errors import UserError

LARGEST_PICKLE = 2**31
"""Most bytes of a file that is read."""


def load_plain_pickle(path: Path) -> dict[str, Any]:
    """A pickled dictionary, if it is made of plain values and arrays of uint8 alone.

    Texts that Python 2 wrote are bytes, but for the keys.

    Nothing that a pickle names is imported or called: the names that NumPy writes for an array of
    uint8 stand for checked replacements, and any other name is refused.

    Raises:
        UserError: if it cannot be read, is damaged, or holds anything else.
    """
    try:
        if path.stat().st_size > LARGEST_PICKLE:
            raise ValueError(f"larger than {LARGEST_PICKLE} bytes")
        with path.open("rb") as file:
            # Python 2 wrote both texts and bytes as what Python 3 holds for texts.
            found = _Plain(file, encoding="bytes").load()
        if not isinstance(found, dict):
            raise ValueError("no dictionary")
        return {
            key.decode("latin1") if isinstance(key, bytes) else str(key): (
                value.values if isinstance(value, _Array) else value
            )
            for key, value in found.items()
        }
    # A damaged pickle can raise nearly anything.
    except Exception as error:
        raise UserError(
            "a pickle must be a dictionary of nothing but plain values and arrays of bytes. "
            f"Received: {path} ({reason_of(error)})"
        ) from error


class _Array:
    """Stands in for `numpy.ndarray`: takes its state and checks it."""

    def __init__(self, *_: object) -> None:
        self.values: npt.NDArray[np.uint8] = np.zeros(0, np.uint8)

    def __setstate__(self, state: tuple[int, tuple[int, ...], object, bool, object]) -> None:
        _, shape, kind, fortran, content = state
        if not isinstance(kind, _Kind) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("an array of another kind than uint8")
        if math.prod(shape) != len(content):
            raise pickle.UnpicklingError("an array that does not have its stated size")
        values = np.frombuffer(content, np.uint8)
        self.values = values.reshape(shape[::-1]).T if fortran else values.reshape(shape)


class _Kind:
    """Stands in for `numpy.dtype`, of which it allows uint8."""

    def __init__(self, name: object, *_: object) -> None:
        if name not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"an array of kind {name!r:.20}")

    def __setstate__(self, _: object) -> None:
        """Byte order and alignment, which bytes do not have."""


class _Encoded:
    """Stands in for `_codecs.encode`, with which Python 3 writes bytes for Python 2."""

    __slots__ = ()  # a pickle can set attributes of whatever it gets

    def __call__(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"a text in {encoding!r:.20}")
        return text.encode("latin1")


# The form in Python numbers what it has read in a dictionary; that in C does it in a table, which
# five bytes of a pickle can make larger than the memory.
class _Plain(pickle._Unpickler):
    _STAND_INS: ClassVar = {
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Kind,
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy._core.multiarray", "_reconstruct"): _Array,
        ("_codecs", "encode"): _Encoded(),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._STAND_INS:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return self._STAND_INS[module, name]

    def persistent_load(self, _: object) -> Any:
        raise pickle.UnpicklingError("it names an object outside itself")
