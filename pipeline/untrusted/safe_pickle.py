"""Read pickles as data: no name in a pickle is imported or called."""

from __future__ import annotations

import io
import math
import pickletools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

MOST_OPERATIONS = 2**21
"""Most operations of a pickle to run; a published network has about a thousand."""

NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
"""NumPy's codes of the array types that are read."""

StandIns: TypeAlias = Mapping[str, Callable[..., Any]]
NOTHING: StandIns = MappingProxyType({})

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    )
)
_TEXTS_OF_PYTHON_2 = frozenset({"STRING", "BINSTRING", "SHORT_BINSTRING"})
_CONTAINERS: Mapping[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})
_LARGEST_PLACE = 2**32


class UnsafePickle(Exception):
    """The pickle holds something other than data, or is damaged."""


# Neither compared nor shown by value: both can be made arbitrarily slow or deep.
@dataclass(eq=False, repr=False, slots=True)
class PickledObject:
    """Object of a class that a pickle names: path of the class and state, never the class."""

    path: str
    state: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def build(self, state: Any) -> None:
        """Set the state; a second time is refused."""
        if self.state or type(state) is not dict:
            raise UnsafePickle(f"a {escaped(self.path)} without a state of its own")
        self.state = MappingProxyType(state)


class Dictionary(dict[str, Any]):
    """Substitute for a subclass of dict; its attributes are dropped."""

    # Without arguments: items come by operations that check their keys.
    def __init__(self) -> None:
        super().__init__()


def load(
    stream: io.BytesIO,
    stand_ins: StandIns = NOTHING,
    *,
    numbers: Collection[str] = NUMBERS,
    text_of_python_2: Callable[[bytes], Any] = lambda text: text.decode("latin1"),
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Read one pickle of plain values, arrays of numbers and substitutes from `stand_ins`.

    The content made from it is at most twice as large as the stream, and keys are strings. Nothing
    here walks through the result, so neither depth nor references to itself do harm; callers must
    only look at the parts that they expect.

    Args:
        stream: Stream, which is read to the end of the pickle.
        stand_ins: Functions that make a harmless substitute from the arguments, by the path of
            the class or function that a pickle may name.
        numbers: Codes of the array types that are allowed.
        text_of_python_2: Function that converts strings of Python 2, which are bytes in Python 3.
        persistent: Function that returns objects outside the pickle; None refuses them.

    Raises:
        Refused: if the pickle holds anything else, or is damaged.
    """
    try:
        return _Machine(stream, stand_ins, numbers, text_of_python_2, persistent).run()
    except UnsafePickle:
        raise
    # A damaged pickle can raise nearly anything.
    except Exception as error:
        raise UnsafePickle("it is damaged") from error


def escaped(text: str) -> str:
    """Shorten untrusted text to 80 characters and escape it, for an error message."""
    short = text if len(text) <= 80 else f"{text[:77]}..."
    return short.encode("unicode_escape").decode("ascii")


@dataclass(eq=False, slots=True)
class _Named:
    """Name in a pickle that can only be called to make a substitute."""

    make: Callable[..., Any]


@dataclass(eq=False, slots=True)
class _Kind:
    """Substitute for `numpy.dtype` that allows plain numbers only."""

    code: str
    order: str = "|"

    def build(self, state: Any) -> None:
        """Set the byte order; fields, which only structures have, are refused."""
        _, order, *fields = state
        if any(fields[:3]):
            raise UnsafePickle("an array of structures")
        self.order = _text(order)


# Not a subclass of `pickle.Unpickler`, which decides over names alone: BUILD on a class, a claim of
# 2**40 bytes for a bytearray, or a key whose hash goes a million tuples deep would stay possible.
class _Machine:
    """Stack machine that runs pickles, without the operations that can do harm."""

    def __init__(
        self,
        stream: io.BytesIO,
        stand_ins: StandIns,
        numbers: Collection[str],
        text_of_python_2: Callable[[bytes], Any],
        persistent: Callable[[Any], Any] | None,
    ) -> None:
        self._stream = stream
        self._numbers = numbers
        self._text_of_python_2 = text_of_python_2
        self._persistent = persistent
        # Twice the file: text that Python 3 wrote for Python 2 becomes bytes, and those an array.
        self._left = 2 * stream.getbuffer().nbytes
        makers: dict[str, Callable[..., Any]] = {
            # Python 3 writes bytes for Python 2 as calls of these two.
            "_codecs.encode": self._encoded,
            "__builtin__.bytes": lambda: b"",
            "numpy.dtype": self._kind,
            "numpy.ndarray": _not_made,  # Only an argument of `_reconstruct`.
        }
        for core in ("numpy.core", "numpy._core"):  # NumPy 2 renamed it.
            makers |= {
                f"{core}.multiarray._reconstruct": self._empty_array,
                f"{core}.multiarray.scalar": self._scalar,
                f"{core}.numeric._frombuffer": self._array_of_buffer,
            }
        self._named = {path: _Named(make) for path, make in {**makers, **stand_ins}.items()}
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Run the program; returns the value it leaves on the stack."""
        for count, (operation, argument, _) in enumerate(pickletools.genops(self._stream)):
            if count == MOST_OPERATIONS:
                raise UnsafePickle(f"it has more than {MOST_OPERATIONS} operations")
            if operation.name == "STOP":
                # A damaged program leaves more or fewer than one value, which raises ValueError.
                [value] = self._stack
                return value
            self._do(operation.name, argument)
        raise UnsafePickle("it is damaged")

    def _do(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            stack.append(argument)
        elif name in _TEXTS_OF_PYTHON_2:
            stack.append(self._text_of_python_2(argument.encode("latin1")))
        elif name in _CONTAINERS:
            stack.append(_CONTAINERS[name]())
        elif name in _TUPLES:
            items = tuple(stack.pop() for _ in range(_TUPLES[name]))
            stack.append(items[::-1])
        elif name in _GETS:
            stack.append(self._memo[argument])
        elif name in _PUTS or name == "MEMOIZE":
            place = len(self._memo) if name == "MEMOIZE" else argument
            # Long integers can be chosen to collide as keys, which makes a dictionary very slow.
            if not 0 <= place < _LARGEST_PLACE:
                raise UnsafePickle("it is damaged")
            self._memo[place] = stack[-1]
        else:
            self._build(name, argument)

    def _build(self, name: str, argument: Any) -> None:
        match name:
            case "PROTO" | "FRAME":  # They only help a reader to read ahead.
                pass
            case "MARK":
                self._below.append(self._stack)
                self._stack = []
            case "POP":
                self._stack.pop()
            case "POP_MARK":
                self._above_mark()
            case "TUPLE" | "LIST":
                items = self._above_mark()
                self._stack.append(tuple(items) if name == "TUPLE" else items)
            case "DICT":
                items = self._above_mark()
                self._stack.append({})
                self._set(items)
            case "APPEND" | "APPENDS":
                self._append([self._stack.pop()] if name == "APPEND" else self._above_mark())
            case "SETITEM":
                value = self._stack.pop()
                self._set([self._stack.pop(), value])
            case "SETITEMS":
                self._set(self._above_mark())
            case "GLOBAL":
                self._name(argument.replace(" ", ".", 1))
            case "STACK_GLOBAL":
                attribute, module = self._stack.pop(), self._stack.pop()
                self._name(f"{module:s}.{attribute:s}")
            case "REDUCE" | "NEWOBJ":
                arguments, named = self._stack.pop(), self._stack.pop()
                if type(named) is not _Named or type(arguments) is not tuple:
                    raise UnsafePickle("it calls something it does not name")
                self._stack.append(named.make(*arguments))
            case "BUILD":
                self._state(self._stack.pop(), self._stack[-1])
            case "BINPERSID" if self._persistent is not None:
                self._stack.append(self._persistent(self._stack.pop()))
            case "PERSID" | "BINPERSID":
                raise UnsafePickle("it names an object outside itself")
            case _:
                raise UnsafePickle(f"it uses the operation {name}")

    def _above_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._below.pop()
        return items

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise UnsafePickle("it appends to something that is not a list")
        target.extend(map(_value, items))

    def _set(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) not in (dict, Dictionary):
            raise UnsafePickle("it sets an item of something that is not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing and comparing other keys can be made arbitrarily slow.
            if type(key) not in (str, bytes):
                raise UnsafePickle("a key that is not a string")
            target[key] = _value(value)

    def _name(self, path: str) -> None:
        if path not in self._named:
            raise UnsafePickle(f"it names {escaped(path)}")
        self._stack.append(self._named[path])

    def _state(self, state: Any, target: Any) -> None:
        if type(target) is np.ndarray:
            self._fill(target, state)
        elif isinstance(target, PickledObject | _Kind):
            target.build(state)
        elif type(target) is not Dictionary:
            raise UnsafePickle("it sets attributes of a value without any")

    def _spend(self, size: int) -> None:
        # Output larger than this repeats the same part of the file again and again.
        self._left -= size
        if self._left < 0:
            raise UnsafePickle("it makes more than it holds")

    def _encoded(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding != "latin1":
            raise UnsafePickle("a text in another encoding than latin1")
        self._spend(len(text))
        return text.encode("latin1")

    def _kind(self, code: Any, *_: Any) -> _Kind:
        if _text(code) not in self._numbers:
            raise UnsafePickle(f"an array of kind {escaped(_text(code))}")
        return _Kind(_text(code))

    def _empty_array(self, *_: Any) -> Any:
        return np.empty(0, np.int8)

    def _array_of_buffer(self, content: Any, kind: Any, shape: Any, order: Any) -> Any:
        array = self._empty_array()
        self._fill(array, (1, shape, kind, order == "F", content))
        return array

    def _fill(self, array: Any, state: Any) -> None:
        _, shape, kind, fortran, content = state
        content, dtype = self._numbers_in(content, kind)
        if not all(type(size) is int and size >= 0 for size in shape):
            raise UnsafePickle("it is damaged")
        if math.prod(shape) * dtype.itemsize != len(content):
            raise UnsafePickle("an array that does not have its stated size")
        # Safe: with a plain number type and the right size, NumPy only copies.
        array.__setstate__((1, tuple(shape), dtype, bool(fortran), content))

    def _scalar(self, kind: Any, content: Any) -> Any:
        content, dtype = self._numbers_in(content, kind)
        [value] = np.frombuffer(content, dtype)
        return value

    def _numbers_in(self, content: Any, kind: Any) -> tuple[bytes, np.dtype[Any]]:
        if type(kind) is not _Kind:
            raise UnsafePickle("an array of objects")
        self._spend(len(content))
        return content.encode("latin1") if type(content) is str else bytes(content), np.dtype(
            kind.order + kind.code
        )


def _not_made(*_: Any) -> Any:
    raise UnsafePickle("an array without content")


def _text(text: str | bytes) -> str:
    return text.decode("latin1") if isinstance(text, bytes) else text


def _value(item: Any) -> Any:
    if type(item) is _Named:
        raise UnsafePickle("a name in place of a value")
    return item
