"""Pickles are read as data: whatever else they ask for is refused."""

import contextlib
import pickle
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.sources.plain_pickle import load_plain_pickle
from pipeline.errors import UserError

PIXELS = np.random.default_rng(1).integers(0, 256, (2, 3, 32, 32), np.uint8)
HARMFUL = [
    b"cos\nsystem\n(S'touch {}'\ntR.",
    b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x00\x85R.",
    b"cbuiltins\neval\n(S'1'\ntR.",
    b"cnumpy\nload\n(S'x'\ntR.",
    b"cnumpy.core.multiarray\nscalar\n.",
    b"c_codecs\nencode\n(Va\nVrot13\ntR.",
    b"c_codecs\nencode\n}S'text'\nS'x'\nsb.",
    b"cnumpy\nndarray\n(K\x00tb.",
    b"cnumpy\ndtype\n(S'O8'\nK\x00K\x01tR.",
    b"cnumpy\ndtype\n(S'f4'\nK\x00K\x01tR.",
    b"S'outside'\nQ.",
    b"\x82\x01.",
]


def test_python_2_batches_are_what_pickle_reads(tmp_path: Path, pickled_by_python_2) -> None:
    content = {"data": PIXELS[:2], "labels": [1, 2], "name": "x"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # for the old name of a module
        expected = pickle.loads(pickled_by_python_2(content), encoding="bytes")
    (tmp_path / "a").write_bytes(pickled_by_python_2(content))
    found = load_plain_pickle(tmp_path / "a")
    assert (expected[b"data"] == found["data"]).all()
    assert (found["labels"], found["name"]) == (expected[b"labels"], expected[b"name"])


@pytest.mark.parametrize("code", HARMFUL)
def test_pickles_that_name_anything_else_are_refused(tmp_path: Path, code: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\x80\x02}S'data'\n" + code.replace(b"{}", bytes(tmp_path / "harm")) + b"s.")
    with pytest.raises(UserError, match="plain values and arrays of bytes only") as caught:
        load_plain_pickle(path)
    assert "\n" not in str(caught.value)
    path.write_bytes(code.replace(b"{}", bytes(tmp_path / "harm")))
    with pytest.raises(UserError):
        load_plain_pickle(path)
    assert not (tmp_path / "harm").exists()


def test_arrays_in_pickles_must_have_their_stated_size(tmp_path: Path, pickled_by_python_2) -> None:
    honest = pickled_by_python_2({"data": PIXELS[0, 0]})
    shape = b"J\x20\x00\x00\x00J\x20\x00\x00\x00"
    assert shape in honest
    (tmp_path / "a").write_bytes(honest.replace(shape, b"J\xff\xff\xff\x7fJ\x20\x00\x00\x00"))
    with pytest.raises(UserError, match="its stated size"):
        load_plain_pickle(tmp_path / "a")


def test_fortran_order_in_pickles(tmp_path: Path) -> None:
    values = np.asfortranarray(PIXELS[0, 0, :4, :6])
    (tmp_path / "a").write_bytes(pickle.dumps({"data": values}, protocol=2))
    assert (load_plain_pickle(tmp_path / "a")["data"] == values).all()


def test_a_pickle_cannot_fill_the_memory(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\x80\x02}r\xff\xff\xff\x7f.")
    assert load_plain_pickle(tmp_path / "a") == {}
    for claim in (b"T\xff\xff\xff\x7f", b"\x8e" + b"\xff" * 7 + b"\x00"):
        (tmp_path / "a").write_bytes(b"\x80\x04}" + claim + b"text.")
        with pytest.raises(UserError):
            load_plain_pickle(tmp_path / "a")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        path.write_bytes(content)
        with contextlib.suppress(UserError):
            assert isinstance(load_plain_pickle(path), dict)
