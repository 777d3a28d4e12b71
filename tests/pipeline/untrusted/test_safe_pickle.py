"""Pickles are read as data: nothing they ask for is done, and what is not data is refused."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import operator
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.untrusted import safe_pickle
from pipeline.untrusted.safe_pickle import PickledObject, UnsafeFile, load

ARRAYS = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big-endian": np.arange(3, dtype=">i4"),
    "half": np.ones((2, 1, 2), np.float16),
    "booleans": np.asarray([True, False]),
    "no dimensions": np.asarray(0.4, np.float32),
    "empty": np.empty((0, 3), np.float32),
}


def read(content: bytes, **options: Any) -> Any:
    return load(io.BytesIO(content), **options)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_plain_values_and_arrays_are_what_pickle_reads(protocol: int) -> None:
    shared = ["once"]
    values = {
        "none": None, "truth": [True, False], "numbers": [0, -1, 255, 70_000, 2**40, 1.5],
        "texts": ("a", "ä", "x" * 300), "bytes": b"\x00\xff" * 200, "nested": {"a": [(1, (2, ()))]},
        "long tuple": (1, 2, 3, 4), "twice": [shared, shared], "scalar": np.float32(0.4),
    }  # fmt: skip
    found = read(pickle.dumps({**values, **ARRAYS}, protocol=protocol))
    assert {name: found[name] for name in values} == values
    assert found["twice"][0] is found["twice"][1]
    assert isinstance(found["scalar"], np.float32)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype.newbyteorder("="), name
        np.testing.assert_array_equal(found[name], array)


def test_texts_of_python_2_are_latin1_or_what_is_asked_for() -> None:
    content = b"\x80\x02]q\x00(U\x03a\xe4bT\x01\x00\x00\x00\xffS'c'\ne."
    assert read(content) == ["aäb", "ÿ", "c"]
    assert read(content, text_of_python_2=bytes) == [b"a\xe4b", b"\xff", b"c"]


def test_arrays_of_python_2() -> None:
    content = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85U\x01b"
        b"\x87Rq\x02(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff"
        b"\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08" + np.float32([1.5, -2]).tobytes() + b"tb."
    )
    np.testing.assert_array_equal(read(content), np.float32([1.5, -2]))


class Reduced:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, state: Any = None) -> None:
        self._call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self._call


def of_protocol_4(module: str, name: str, *after: bytes) -> bytes:
    texts = (b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    return b"\x80\x04" + b"".join(texts) + b"\x93" + b"".join(after) + b"."


TOUCH, PATH = "touch harm", "harm"
CALLS = {
    "os.system": (Reduced(os.system, TOUCH), "it names posix.system"),
    "eval": (Reduced(eval, "open('harm', 'w')"), "it names builtins.eval"),
    "exec": (Reduced(exec, "open('harm', 'w')"), "it names builtins.exec"),
    "open": (Reduced(open, PATH, "w"), "it names io.open"),
    "import": (Reduced(importlib.import_module, "antigravity"), "importlib.import_module"),
    "subprocess": (Reduced(subprocess.Popen, ["touch", PATH]), "it names subprocess.Popen"),
    "getattr": (
        Reduced(getattr, Reduced(importlib.import_module, "os"), "system"),
        "builtins.getattr",
    ),
    "getattr of a getattr": (
        Reduced(getattr, Reduced(getattr, print, "__self__"), "eval"),
        "it names builtins.getattr",
    ),
    "numpy.load": (Reduced(np.load, PATH, None, True), "it names numpy.load"),
    "numpy.fromfile": (Reduced(np.fromfile, PATH), "it names numpy"),
    "memmap": (Reduced(np.memmap, PATH, "u1", "w+"), "it names numpy"),
    "partial": (Reduced(functools.partial, os.system, TOUCH), "it names functools.partial"),
    "attrgetter": (Reduced(operator.attrgetter, "system"), "it names operator.attrgetter"),
    "reduce": (Reduced(functools.reduce, operator.add, [[1]]), "it names _functools.reduce"),
    "pickle in a pickle": (Reduced(pickle.loads, b"N."), "it names _pickle.loads"),
    "class with a state": (SimpleNamespace(a=1), "it names types.SimpleNamespace"),
    "objects": (np.asarray([Reduced(os.system, TOUCH)]), "an array of kind O8"),
    "structures": (np.zeros(2, [("a", "f4")]), "an array of kind V4"),
    "texts": (np.asarray(["a"]), "an array of kind U1"),
    "dates": (np.asarray(["2026-01-01"], "M8[D]"), "an array of kind M8"),
    "set": ({1, 2}, "it uses the operation EMPTY_SET"),
    "frozen set": (frozenset({1}), "it uses the operation FROZENSET"),
    "complex": (1j, "it names builtins.complex"),
    "ordered": (OrderedDict(a=1), "it names collections.OrderedDict"),
    "keys": ({("a",): 1}, "a key that is not a string"),
}
SYSTEM = b"cos\nsystem\n"
COMMAND = b"X" + struct.pack("<I", len(TOUCH)) + TOUCH.encode()
PROGRAMS = {
    "protocol 0": (SYSTEM + b"(S'" + TOUCH.encode() + b"'\ntR.", "it names os.system"),
    "nested name": (of_protocol_4("numpy", "load.__globals__"), "numpy.load.__globals__"),
    "name in a name": (of_protocol_4("numpy.core", "multiarray.os.system"), "os.system"),
    "instance": (b"(" + COMMAND + b"ios\nsystem\n.", "it uses the operation INST"),
    "object": (b"(" + SYSTEM + COMMAND + b"o.", "it names os.system"),
    "object of a known name": (b"(cnumpy\ndtype\n" + COMMAND + b"o.", "operation OBJ"),
    "new object with keywords": (
        b"\x80\x04cnumpy\ndtype\n)}\x92.", "it uses the operation NEWOBJ_EX"
    ),
    "extension": (b"\x80\x02\x82\x01.", "it uses the operation EXT1"),
    "long extension": (b"\x80\x02\x84\x01\x00\x00\x00.", "it uses the operation EXT4"),
    "persistent": (b"Poutside\n.", "an object outside itself"),
    "persistent of the stack": (b"\x80\x02Nq\x00Q.", "an object outside itself"),
    "buffer outside": (b"\x80\x05\x97.", "it uses the operation NEXT_BUFFER"),
    "call of a value": (b"\x80\x02X\x01\x00\x00\x00a)R.", "it calls something it does not name"),
    "call without a tuple": (b"\x80\x02cnumpy\ndtype\n]R.", "it calls something it does not name"),
    "call from the memo": (
        b"\x80\x02X\x01\x00\x00\x00aq\x050h\x05)R.", "it calls something it does not name"
    ),
    "state of a class": (b"\x80\x02cnumpy\nndarray\n}b.", "attributes of a value without any"),
    "state of a function": (b"\x80\x02c_codecs\nencode\n}b.", "attributes of a value without any"),
    "state of a list": (b"\x80\x02]}b.", "attributes of a value without any"),
    "item of a tuple": (b"\x80\x02)NNs.", "of something that is not a dictionary"),
    "item of a class": (b"\x80\x02cnumpy\nndarray\nNNs.", "of something that is not a dictionary"),
    "append to a class": (b"\x80\x02cnumpy\nndarray\nNa.", "something that is not a list"),
    "class as a value": (b"\x80\x02](cnumpy\nndarray\ne.", "a name in place of a value"),
    "other encoding": (
        b"\x80\x02c_codecs\nencode\n\x8c\x01a\x8c\x05rot13\x86R.",
        "another encoding",
    ),
    "ndarray called": (b"\x80\x02cnumpy\nndarray\nK\x05\x85R.", "an array without content"),
    "lines": (b"ca\x1b[2J\nos\nsystem\n.", r"it names a\x1b[2J.os"),
    "long name": (b"c" + b"o" * 10**6 + b"\nx\n.", "ooo..."),
}  # fmt: skip
HARMFUL = {
    name: (pickle.dumps(value, protocol=4), says) for name, (value, says) in CALLS.items()
} | PROGRAMS


@pytest.mark.parametrize("name", HARMFUL)
def test_nothing_that_a_pickle_asks_for_is_done(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content, says = HARMFUL[name]
    modules = set(sys.modules)
    with pytest.raises(UnsafeFile) as caught:
        read(content)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 120
    with pytest.raises(UnsafeFile):
        read(b"\x80\x02}X\x01\x00\x00\x00a" + content[:-1] + b"s.")
    assert not list(tmp_path.iterdir())
    assert set(sys.modules) == modules


F4 = b"X\x02\x00\x00\x00f4"


def array(shape: bytes, content: bytes, kind: bytes = F4) -> bytes:
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
        b"(K\x01" + shape + b"cnumpy\ndtype\n" + kind + b"K\x00K\x01\x87R\x89" + content + b"tb"
    )


def array_pickle(shape: bytes, content: bytes, kind: bytes = F4) -> bytes:
    return b"\x80\x03" + array(shape, b"C" + bytes([len(content)]) + content, kind) + b"."


@pytest.mark.parametrize(
    "content",
    [
        array_pickle(b"J\xff\xff\xff\x7f\x85", b"\x00" * 8),
        array_pickle(b"J\xff\xff\xff\xff\x85", b""),
        array_pickle(b"\x8a\x08" + b"\xff" * 7 + b"\x7f\x85", b"\x00" * 8),
        array_pickle(b"G?\xf0\x00\x00\x00\x00\x00\x00\x85", b"\x00" * 4),
        array_pickle(b"(" + b"K\x01" * 100 + b"t", b"\x00" * 4),
        array_pickle(b"]", b"\x00" * 8),
        array_pickle(b"K\x02\x85", b"\x00" * 8, kind=b"X\x01\x00\x00\x00O"),
        array_pickle(b"K\x02\x85", b"\x00" * 8, kind=b"N"),
        array_pickle(b"K\x02\x85", b"\x00" * 8, kind=b"]"),
        b"\x80\x05" + pickle.dumps(np.ones(3), protocol=5)[2:].replace(b"K\x03\x85", b"K\x04\x85"),
        b"\x80\x02cnumpy.core.multiarray\nscalar\nX\x02\x00\x00\x00f4C\x04abcd\x86R.",
    ],
)
def test_arrays_are_of_numbers_and_have_their_stated_size(content: bytes) -> None:
    with pytest.raises(UnsafeFile):
        read(content)


@pytest.mark.parametrize(
    "claim",
    [
        b"T\xff\xff\xff\x7f", b"X\xff\xff\xff\xff", b"B\xff\xff\xff\xff",
        b"\x8e" + b"\xff" * 7 + b"\x00", b"\x8d" + b"\xff" * 7 + b"\x00",
        b"\x96" + b"\xff" * 5 + b"\x00\x00\x00", b"\x96" + b"\xff" * 8,
        b"\x8b\xff\xff\xff\x7f", b"\x95" + b"\xff" * 7 + b"\x7f",
    ],
)  # fmt: skip
def test_claims_of_much_content_take_no_memory(claim: bytes) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UnsafeFile):
        read(b"\x80\x05]" + claim + b"text.")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_one_part_cannot_be_made_into_many() -> None:
    text = "x" * 10_000
    encode = b"h\x00h\x01X\x06\x00\x00\x00latin1\x86R"
    content = b"\x80\x02(c_codecs\nencode\nq\x00X\x10'\x00\x00" + text.encode() + b"q\x01"
    assert len(read(content + encode + b"l.")[-1]) == 10_000
    with pytest.raises(UnsafeFile, match="makes more than it holds"):
        read(content + encode * 1_000 + b"l.")
    once = array(b"M\xe8\x03\x85", b"B\xa0\x0f\x00\x00" + b"\x00" * 4_000 + b"q\x07")
    again = array(b"M\xe8\x03\x85", b"h\x07")
    assert len(read(b"\x80\x03(" + once + again + b"l.")) == 2
    with pytest.raises(UnsafeFile, match="makes more than it holds"):
        read(b"\x80\x03(" + once + again * 10 + b"l.")


def test_a_memo_of_far_apart_places_takes_no_memory() -> None:
    assert read(b"\x80\x02]r\xff\xff\xff\x7f.") == []
    with pytest.raises(UnsafeFile):
        read(b"\x80\x02]p" + str(2**61 - 1).encode() + b"\n.")


def test_depth_and_references_to_itself_do_no_harm() -> None:
    depth = 50_000
    assert len(read(b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b".")) == 1
    assert len(read(b"\x80\x02)" + b"\x85" * depth + b".")) == 1
    assert len(read(b"\x80\x02" + b"(" * depth + b"K\x01" + b"t" * depth + b".")) == 1
    with pytest.raises(
        UnsafeFile, match="a key that is not a string"
    ):  # whose hash would go that deep
        read(b"\x80\x02})" + b"\x85" * depth + b"Ns.")
    itself = read(b"\x80\x02]q\x00h\x00a.")
    assert itself[0] is itself


def test_long_programs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_pickle, "MAX_OPERATIONS", 1_000)
    assert read(b"\x80\x02" + b"N0" * 400 + b"N.") is None
    with pytest.raises(UnsafeFile, match="more than 1000 operations"):
        read(b"\x80\x02" + b"N0" * 600 + b"N.")


def test_objects_of_known_classes_keep_their_state_and_no_more() -> None:
    names = {"a.Network": lambda: PickledObject("a.Network"), "a.Dict": safe_pickle.Dictionary}
    content = b"\x80\x02ca\nNetwork\n)\x81q\x00}X\x01\x00\x00\x00xK\x05sb."
    record = read(content, stand_ins=names)
    assert (record.path, dict(record.state)) == ("a.Network", {"x": 5})
    with pytest.raises(TypeError):
        record.state["x"] = 6
    with pytest.raises(AttributeError):
        record.y = 1
    twice = content[:-1] + b"}X\x01\x00\x00\x00yK\x06sb."
    for wrong in (twice, content.replace(b"}X\x01\x00\x00\x00xK\x05s", b"]")):
        with pytest.raises(UnsafeFile, match=r"a\.Network without a state of its own"):
            read(wrong, stand_ins=names)
    with pytest.raises(UnsafeFile, match="damaged"):
        read(b"\x80\x02ca\nNetwork\nK\x01\x85R.", stand_ins=names)
    ordered = read(
        b"\x80\x02ca\nDict\n)R}X\x01\x00\x00\x00kNsbX\x01\x00\x00\x00aK\x01s.", stand_ins=names
    )
    assert ordered == {"a": 1}
    assert not hasattr(ordered, "k")
    with pytest.raises(UnsafeFile):
        read(b"\x80\x02ca\nDict\n](NNee\x85R.", stand_ins=names)


def test_objects_outside_are_made_by_whoever_reads() -> None:
    assert read(b"\x80\x02K\x07Q.", persistent=lambda name: [name]) == [7]


def test_one_pickle_is_read_and_the_next_one_stays() -> None:
    stream = io.BytesIO(pickle.dumps([1]) + pickle.dumps([2]) + b"rest")
    assert [load(stream), load(stream), stream.read()] == [[1], [2], b"rest"]


CONTENT = pickle.dumps({"name": [1, 2.5, None], **ARRAYS}, protocol=2)


def test_every_truncation_is_refused() -> None:
    for length in range(len(CONTENT)):
        with pytest.raises(UnsafeFile):
            read(CONTENT[:length])


def test_flipped_bits_are_read_or_refused() -> None:
    generator = np.random.default_rng(0)
    began = time.monotonic()
    for _ in range(1_000):
        damaged = bytearray(CONTENT)
        for place in generator.integers(len(CONTENT) * 8, size=generator.integers(1, 4)):
            damaged[place // 8] ^= 1 << place % 8
        with contextlib.suppress(UnsafeFile):
            read(bytes(damaged))
    assert time.monotonic() - began < 60


OPERATIONS = [operation.code.encode("latin1") for operation in pickletools.opcodes]


@given(st.lists(st.one_of(st.sampled_from(OPERATIONS), st.binary(max_size=4)), max_size=60))
def test_any_program_is_read_or_refused(parts: list[bytes]) -> None:
    with contextlib.suppress(UnsafeFile):
        read(b"".join(parts) + b".", stand_ins={"a.b": lambda: PickledObject("a.b")})
