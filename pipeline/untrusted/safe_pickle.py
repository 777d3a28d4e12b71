"""Read pickles from unknown sources as data, without importing or calling what they name.

Official weights and CIFAR's files come as pickles; the usual `pickle.load` would run code in them.
"""

from __future__ import annotations

import io
import math
import pickletools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

MAX_OPERATIONS = 2**21
"""Maximum number of operations in a pickle; one of an official network has about a thousand."""

NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
"""NumPy's codes of the array types that `load` accepts by default."""

StandIns: TypeAlias = Mapping[str, Callable[..., Any]]
"""Functions to call in place of classes and functions, by the path that a pickle may name."""
NO_STAND_INS: StandIns = MappingProxyType({})

# Operations of pickles, by their names in `pickletools`.
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
_TUPLE_SIZES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MEMO_WRITES = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_MEMO_READS = frozenset({"GET", "BINGET", "LONG_BINGET"})
_MEMO_LIMIT = 2**32
"""Upper limit of indices into the memo, where a pickle keeps objects to refer to again."""


class UnsafeFile(Exception):
    """Untrusted file is damaged, or holds what is not allowed; the message names it."""


# No comparison or `repr` by value: a pickle can make either arbitrarily slow or deep.
@dataclass(eq=False, repr=False, slots=True)
class PickledObject:
    """Stand-in for an object of a class that a pickle names: path of the class, and state."""

    path: str
    state: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def build(self, state: Any) -> None:
        """Set the state; raise UnsafeFile for a second state, or one that is no dictionary."""
        if self.state or type(state) is not dict:
            raise UnsafeFile(f"a {escaped(self.path)} without a state of its own")
        self.state = MappingProxyType(state)


class Dictionary(dict[str, Any]):
    """Stand-in for a subclass of dict; attributes that a pickle sets are dropped."""

    # Take no arguments: items are set by operations that check the keys.
    def __init__(self) -> None:
        super().__init__()


def load(
    stream: io.BytesIO,
    stand_ins: StandIns = NO_STAND_INS,
    *,
    numbers: Collection[str] = NUMBERS,
    text_of_python_2: Callable[[bytes], Any] = lambda text: text.decode("latin1"),
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Read one pickle of plain values, arrays of numbers and stand-ins.

    Arrays and converted bytes take at most twice the size of the stream. Keys are strings or bytes.
    The result may be nested arbitrarily deep and contain itself: read only the parts you expect.

    Args:
        stream: Stream to read; its position afterwards is the end of the pickle.
        stand_ins: Functions that make a harmless object from the arguments, by the path of the
            class or function that the pickle may name, such as `collections.OrderedDict`.
        numbers: NumPy's codes of the array types to allow.
        text_of_python_2: Function that converts a `str` of Python 2, given as bytes.
        persistent: Function that returns the object outside the pickle with a persistent ID; None
            to refuse such objects.

    Raises:
        UnsafeFile: if the pickle holds anything else, or is damaged.
    """
    try:
        return _Unpickler(stream, stand_ins, numbers, text_of_python_2, persistent).run()
    except UnsafeFile:
        raise
    # A damaged pickle can raise nearly anything.
    except Exception as error:
        raise UnsafeFile("it is damaged") from error


def escaped(text: str) -> str:
    """Shorten untrusted text to 80 characters and escape it as ASCII, for an error message."""
    short = text if len(text) <= 80 else f"{text[:77]}..."
    return short.encode("unicode_escape").decode("ascii")


@dataclass(eq=False, slots=True)
class _Global:
    """Value that a pickle gets for a name: it can only be called, to make a stand-in."""

    make: Callable[..., Any]


@dataclass(eq=False, slots=True)
class _Dtype:
    """Stand-in for `numpy.dtype` that allows plain numbers only."""

    code: str
    order: str = "|"

    def build(self, state: Any) -> None:
        """Set the byte order; refuse fields, which only structured types have."""
        _, order, *fields = state
        if any(fields[:3]):
            raise UnsafeFile("an array of structures")
        self.order = _to_text(order)


# Not a subclass of `pickle.Unpickler`, which lets us check names only: BUILD on a class, a claim of
# 2**40 bytes for a bytearray, or a key of a million nested tuples, slow to hash, would be possible.
class _Unpickler:
    """Stack machine that runs one pickle, without the operations that can do harm."""

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
        # Allow twice the size of the file: text that Python 3 wrote for Python 2 is counted when it
        # becomes bytes, and again when these become an array.
        self._bytes_left = 2 * stream.getbuffer().nbytes
        makers: dict[str, Callable[..., Any]] = {
            # Python 3 writes bytes in pickles for Python 2 as calls of these two functions.
            "_codecs.encode": self._encode,
            "__builtin__.bytes": lambda: b"",
            "numpy.dtype": self._make_dtype,
            "numpy.ndarray": _refuse_array_class,  # Allowed only as an argument of `_reconstruct`.
        }
        for core in ("numpy.core", "numpy._core"):  # NumPy 2 renamed the module.
            makers |= {
                f"{core}.multiarray._reconstruct": self._empty_array,
                f"{core}.multiarray.scalar": self._scalar,
                f"{core}.numeric._frombuffer": self._array_from_buffer,
            }
        self._globals = {path: _Global(make) for path, make in {**makers, **stand_ins}.items()}
        self._stack: list[Any] = []
        self._outer_stacks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Run the operations, and return the value that they leave on the stack."""
        for count, (operation, argument, _) in enumerate(pickletools.genops(self._stream)):
            if count == MAX_OPERATIONS:
                raise UnsafeFile(f"it has more than {MAX_OPERATIONS} operations")
            if operation.name == "STOP":
                # Unpack: a damaged pickle leaves more or fewer values, which raises ValueError.
                [value] = self._stack
                return value
            self._run_operation(operation.name, argument)
        raise UnsafeFile("it is damaged")

    def _run_operation(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            stack.append(argument)
        elif name in _TEXTS_OF_PYTHON_2:
            stack.append(self._text_of_python_2(argument.encode("latin1")))
        elif name in _CONTAINERS:
            stack.append(_CONTAINERS[name]())
        elif name in _TUPLE_SIZES:
            items = tuple(stack.pop() for _ in range(_TUPLE_SIZES[name]))
            stack.append(items[::-1])
        elif name in _MEMO_READS:
            stack.append(self._memo[argument])
        elif name in _MEMO_WRITES or name == "MEMOIZE":
            index = len(self._memo) if name == "MEMOIZE" else argument
            # Refuse huge integers: as keys they can collide, which makes a dictionary very slow.
            if not 0 <= index < _MEMO_LIMIT:
                raise UnsafeFile("it is damaged")
            self._memo[index] = stack[-1]
        else:
            self._run_compound(name, argument)

    def _run_compound(self, name: str, argument: Any) -> None:
        match name:
            case "PROTO" | "FRAME":  # Nothing to do: they only help to read ahead.
                pass
            case "MARK":
                self._outer_stacks.append(self._stack)
                self._stack = []
            case "POP":
                self._stack.pop()
            case "POP_MARK":
                self._pop_to_mark()
            case "TUPLE" | "LIST":
                items = self._pop_to_mark()
                self._stack.append(tuple(items) if name == "TUPLE" else items)
            case "DICT":
                items = self._pop_to_mark()
                self._stack.append({})
                self._set_items(items)
            case "APPEND" | "APPENDS":
                self._append([self._stack.pop()] if name == "APPEND" else self._pop_to_mark())
            case "SETITEM":
                value = self._stack.pop()
                self._set_items([self._stack.pop(), value])
            case "SETITEMS":
                self._set_items(self._pop_to_mark())
            case "GLOBAL":
                self._push_global(argument.replace(" ", ".", 1))
            case "STACK_GLOBAL":
                attribute, module = self._stack.pop(), self._stack.pop()
                self._push_global(f"{module:s}.{attribute:s}")
            case "REDUCE" | "NEWOBJ":
                arguments, target = self._stack.pop(), self._stack.pop()
                if type(target) is not _Global or type(arguments) is not tuple:
                    raise UnsafeFile("it calls something it does not name")
                self._stack.append(target.make(*arguments))
            case "BUILD":
                self._set_state(self._stack.pop(), self._stack[-1])
            case "BINPERSID" if self._persistent is not None:
                self._stack.append(self._persistent(self._stack.pop()))
            case "PERSID" | "BINPERSID":
                raise UnsafeFile("it names an object outside itself")
            case _:
                raise UnsafeFile(f"it uses the operation {name}")

    def _pop_to_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._outer_stacks.pop()
        return items

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise UnsafeFile("it appends to something that is not a list")
        target.extend(map(_require_value, items))

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) not in (dict, Dictionary):
            raise UnsafeFile("it sets an item of something that is not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Refuse other keys: a pickle could make hashing and comparing them arbitrarily slow.
            if type(key) not in (str, bytes):
                raise UnsafeFile("a key that is not a string")
            target[key] = _require_value(value)

    def _push_global(self, path: str) -> None:
        if path not in self._globals:
            raise UnsafeFile(f"it names {escaped(path)}")
        self._stack.append(self._globals[path])

    def _set_state(self, state: Any, target: Any) -> None:
        if type(target) is np.ndarray:
            self._set_array(target, state)
        elif isinstance(target, PickledObject | _Dtype):
            target.build(state)
        elif type(target) is not Dictionary:
            raise UnsafeFile("it sets attributes of a value without any")

    def _count_bytes(self, size: int) -> None:
        # Refuse a small file that becomes large because it uses the same part again and again.
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise UnsafeFile("it makes more than it holds")

    def _encode(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding != "latin1":
            raise UnsafeFile("a text in another encoding than latin1")
        self._count_bytes(len(text))
        return text.encode("latin1")

    def _make_dtype(self, code: Any, *_: Any) -> _Dtype:
        if _to_text(code) not in self._numbers:
            raise UnsafeFile(f"an array of kind {escaped(_to_text(code))}")
        return _Dtype(_to_text(code))

    def _empty_array(self, *_: Any) -> Any:
        return np.empty(0, np.int8)

    def _array_from_buffer(self, content: Any, kind: Any, shape: Any, order: Any) -> Any:
        array = self._empty_array()
        self._set_array(array, (1, shape, kind, order == "F", content))
        return array

    def _set_array(self, array: Any, state: Any) -> None:
        _, shape, kind, fortran, content = state
        content, dtype = self._array_content(content, kind)
        if not all(type(size) is int and size >= 0 for size in shape):
            raise UnsafeFile("it is damaged")
        if math.prod(shape) * dtype.itemsize != len(content):
            raise UnsafeFile("an array that does not have its stated size")
        # This is safe: with a plain number type and the right size, NumPy only copies.
        array.__setstate__((1, tuple(shape), dtype, bool(fortran), content))

    def _scalar(self, kind: Any, content: Any) -> Any:
        content, dtype = self._array_content(content, kind)
        [value] = np.frombuffer(content, dtype)
        return value

    def _array_content(self, content: Any, kind: Any) -> tuple[bytes, np.dtype[Any]]:
        if type(kind) is not _Dtype:
            raise UnsafeFile("an array of objects")
        self._count_bytes(len(content))
        return content.encode("latin1") if type(content) is str else bytes(content), np.dtype(
            kind.order + kind.code
        )


def _refuse_array_class(*_: Any) -> Any:
    raise UnsafeFile("an array without content")


def _to_text(text: str | bytes) -> str:
    return text.decode("latin1") if isinstance(text, bytes) else text


def _require_value(item: Any) -> Any:
    if type(item) is _Global:
        raise UnsafeFile("a name in place of a value")
    return item
