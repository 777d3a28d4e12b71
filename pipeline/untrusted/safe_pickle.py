"""Pickles read as data: nothing that a pickle names is imported or called."""

from __future__ import annotations

import io
import math
import pickletools
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

MOST_OPERATIONS = 2**21
"""Most operations of a pickle that are carried out: a published network takes about a thousand."""

NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
"""NumPy's codes of the kinds of arrays that are read."""

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


class Refused(Exception):
    """A pickle that holds what is not read as data, or is damaged."""


class Record:
    """An object of a class that a pickle names: its path and its state, and nothing of the class.

    Args:
        path: Path of the class.
    """

    __slots__ = ("_state", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._state: dict[str, Any] = {}

    @property
    def state(self) -> Mapping[str, Any]:
        """Attributes that the object would have."""
        return MappingProxyType(self._state)

    def build(self, state: Any) -> None:
        """Take the state, once."""
        if self._state or type(state) is not dict:
            raise Refused(f"a {shown(self.path)} without a state of its own")
        self._state = state


class Dictionary(dict[str, Any]):
    """Stands in for dictionaries with attributes, which are left out."""

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
    """One pickle, if it is made of plain values, arrays of numbers and what `stand_ins` make.

    What is made of it is at most twice as large as the stream. Keys are texts. Nothing here walks
    through what was read, so that neither depth nor references to itself do harm; callers look at
    what they expect and at nothing else.

    Args:
        stream: Is read to the end of the pickle.
        stand_ins: Functions that make harmless substitutes of the arguments, by the path of what
            a pickle may name.
        numbers: Codes of the kinds of arrays that are allowed.
        text_of_python_2: Type for its strings, which are bytes to Python 3.
        persistent: Gives objects outside the pickle; without it there are none.

    Raises:
        Refused: if it holds anything else, or is damaged.
    """
    try:
        return _Machine(stream, stand_ins, numbers, text_of_python_2, persistent).run()
    except Refused:
        raise
    # A damaged pickle can raise nearly anything.
    except Exception as error:
        raise Refused("it is damaged") from error


def shown(text: str) -> str:
    """A text of a file that nobody vouches for, in few printable characters."""
    short = text if len(text) <= 80 else f"{text[:77]}..."
    return short.encode("unicode_escape").decode("ascii")


class _Named:
    """Name in a pickle: it can make a substitute, and nothing else."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make


class _Kind:
    """Stands in for `numpy.dtype`, of which it allows plain numbers."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: str) -> None:
        self._code = code
        self._order = "|"

    def build(self, state: Any) -> None:
        """Take the byte order; numbers have no fields."""
        _, order, *fields = state
        if any(fields[:3]):
            raise Refused("an array of structures")
        self._order = _text(order)

    def dtype(self) -> np.dtype[Any]:
        """The kind itself."""
        return np.dtype(self._order + self._code)


class _Machine:
    """The stack machine that pickles are programs of, without the operations that can do harm."""

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
        # Twice: of a text that Python 3 wrote for Python 2 come bytes, and of those an array.
        self._left = 2 * stream.getbuffer().nbytes
        makers: dict[str, Callable[..., Any]] = {
            # These two are how Python 3 writes bytes for Python 2.
            "_codecs.encode": self._encoded,
            "__builtin__.bytes": lambda: b"",
            "numpy.dtype": self._kind,
            "numpy.ndarray": _not_made,
        }
        for core in ("numpy.core", "numpy._core"):
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
        """The value that the program leaves."""
        for count, (operation, argument, _) in enumerate(pickletools.genops(self._stream)):
            if count == MOST_OPERATIONS:
                raise Refused(f"it has more than {MOST_OPERATIONS} operations")
            if operation.name == "STOP":
                [value] = self._stack
                return value
            self._do(operation.name, argument)
        raise Refused("it is damaged")

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
            # Python counts on keys that do not collide, and long numbers can be made to.
            if not 0 <= place < _LARGEST_PLACE:
                raise Refused("it is damaged")
            self._memo[place] = stack[-1]
        else:
            self._build(name, argument)

    def _build(self, name: str, argument: Any) -> None:
        match name:
            case "PROTO" | "FRAME":
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
                    raise Refused("it calls what it does not name")
                self._stack.append(named.make(*arguments))
            case "BUILD":
                self._state(self._stack.pop(), self._stack[-1])
            case "BINPERSID" if self._persistent is not None:
                self._stack.append(self._persistent(self._stack.pop()))
            case "PERSID" | "BINPERSID":
                raise Refused("it names an object outside itself")
            case _:
                raise Refused(f"it uses the operation {name}")

    def _above_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._below.pop()
        return items

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise Refused("it appends to what is no list")
        target.extend(map(_value, items))

    def _set(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) not in (dict, Dictionary):
            raise Refused("it sets an item of what is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Others can be as costly to find as whoever wrote the file likes.
            if type(key) not in (str, bytes):
                raise Refused("a key that is no text")
            target[key] = _value(value)

    def _name(self, path: str) -> None:
        if path not in self._named:
            raise Refused(f"it names {shown(path)}")
        self._stack.append(self._named[path])

    def _state(self, state: Any, target: Any) -> None:
        if type(target) is np.ndarray:
            self._fill(target, state)
        elif isinstance(target, Record | _Kind):
            target.build(state)
        elif type(target) is not Dictionary:
            raise Refused("it sets attributes of what has none")

    def _spend(self, size: int) -> None:
        # Beyond the size of the file it is made of the same part again and again.
        self._left -= size
        if self._left < 0:
            raise Refused("it makes more than it holds")

    def _encoded(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding != "latin1":
            raise Refused("a text in another encoding than latin1")
        self._spend(len(text))
        return text.encode("latin1")

    def _kind(self, code: Any, *_: Any) -> _Kind:
        if _text(code) not in self._numbers:
            raise Refused(f"an array of kind {shown(_text(code))}")
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
            raise Refused("it is damaged")
        if math.prod(shape) * dtype.itemsize != len(content):
            raise Refused("an array that does not have its stated size")
        # Of an array of numbers and of its size, NumPy does no more here than to copy.
        array.__setstate__((1, tuple(shape), dtype, bool(fortran), content))

    def _scalar(self, kind: Any, content: Any) -> Any:
        content, dtype = self._numbers_in(content, kind)
        [value] = np.frombuffer(content, dtype)
        return value

    def _numbers_in(self, content: Any, kind: Any) -> tuple[bytes, np.dtype[Any]]:
        if type(kind) is not _Kind:
            raise Refused("an array of objects")
        self._spend(len(content))
        return content.encode("latin1") if type(content) is str else bytes(content), kind.dtype()


def _not_made(*_: Any) -> Any:
    raise Refused("an array without content")


def _text(text: str | bytes) -> str:
    return text.decode("latin1") if isinstance(text, bytes) else text


def _value(item: Any) -> Any:
    if type(item) is _Named:
        raise Refused("a name in place of a value")
    return item
