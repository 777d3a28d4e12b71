"""Golden requests: recorded on the model as loaded anew, without pickles, compared by bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from savedmodels import golden
from savedmodels.layout import GOLDEN
from savedmodels.machine import this_machine

FACTORS = np.float32([1.5, -2.0, 0.25])


def test_both_sides_of_every_signature_are_recorded(scaling: Path) -> None:
    recorded = golden.read(scaling / GOLDEN)
    assert set(recorded) == {"scale", "files"}
    inputs, outputs = recorded["scale"]
    assert {name: array.dtype for name, array in inputs.items()} == {
        "numbers": np.float32,
        "offset": np.int64,
    }
    scaled = inputs["numbers"] * FACTORS + np.float32(2)
    np.testing.assert_array_equal(outputs["scaled"], scaled)
    np.testing.assert_array_equal(outputs["bytes"], (10 * scaled).clip(0, 255).astype(np.uint8))
    inputs, outputs = recorded["files"]
    assert inputs["suffix"].item() == b"\0end\0\0"
    assert outputs["names"].tolist() == [b"3\0end\0\0", b"4\0end\0\0"]
    assert all(file.startswith(b"\x89PNG") for file in outputs["image_bytes"])


def test_arrays_lie_under_their_names_and_nothing_is_pickled(scaling: Path) -> None:
    with np.load(scaling / GOLDEN, allow_pickle=False) as content:
        assert sorted(content.files) == [
            "files/inputs/seeds",
            "files/inputs/suffix",
            "files/outputs/image_bytes",
            "files/outputs/names",
            "intra_op_threads",
            "machine",
            "scale/inputs/numbers",
            "scale/inputs/offset",
            "scale/outputs/bytes",
            "scale/outputs/scaled",
        ]
        assert all(content[name].dtype != object for name in content.files)


def test_the_threads_and_the_machine_of_the_answers_are_told(scaling: Path, tmp_path: Path) -> None:
    threads, machine = golden.read_origin(scaling / GOLDEN)
    assert threads is not None
    assert threads >= 1
    assert machine == this_machine()
    golden.write(tmp_path / "older.npz", golden.read(scaling / GOLDEN))
    assert golden.read_origin(tmp_path / "older.npz") == (None, None)


def test_a_request_is_needed_for_every_signature_and_input(scaling: Path) -> None:
    before = (scaling / GOLDEN).read_bytes()
    with pytest.raises(ValueError, match=r"\['files', 'scale'\]. Received: \['scale'\]"):
        golden.record(scaling, {"scale": {"numbers": [[1, 2, 3]], "offset": 0}})
    with pytest.raises(ValueError, match=r"`files` must .* \['seeds', 'suffix'\]. Rec.*\['seeds'"):
        golden.record(
            scaling,
            {"files": {"seeds": [1]}, "scale": {"numbers": [[1, 2, 3]], "offset": 0}},
        )
    assert (scaling / GOLDEN).read_bytes() == before


def test_what_numpy_lacks_is_not_recorded(tmp_path: Path) -> None:
    brain = np.dtype("V2")  # As NumPy has bfloat16 once it is in a file.
    with pytest.raises(ValueError, match=r"numbers or strings. Received: an array of"):
        golden.write(tmp_path / "x.npz", {"f": golden.Request({}, {"y": np.zeros(2, brain)})})


@pytest.mark.parametrize(
    "array",
    [
        np.array([b"", b"\0", b".", b"..", bytes(1000)], object),
        np.array(b"a\0", object),
        np.empty((0, 2), object),
        np.empty((3, 0), np.float32),
        np.array(7),
        np.array([np.nan, -0.0, np.inf], np.float16),
        np.array([[True], [False]]),
        np.array([1 + 2j], np.complex64),
    ],
    ids=str,
)
def test_arrays_come_back_as_they_were(tmp_path: Path, array: np.ndarray) -> None:
    golden.write(tmp_path / "x.npz", {"a/b": golden.Request({"x": array}, {})})
    back = golden.read(tmp_path / "x.npz")["a/b"].inputs["x"]
    assert golden.difference(array, back) == ""
    assert (back.shape, back.dtype) == (array.shape, array.dtype)


@pytest.mark.parametrize(
    "content", [b"", b"no archive", b"\x93NUMPY\x01\x00", b"PK\x03\x04 cut", "truncated", "flipped"]
)
def test_a_damaged_file_is_said_to_be(scaling: Path, content: bytes | str) -> None:
    path = scaling / GOLDEN
    whole = path.read_bytes()
    if content == "truncated":
        content = whole[: len(whole) // 2]
    elif content == "flipped":
        middle = whole.index(b"NUMPY") + 200
        content = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"golden\.npz is damaged: "):
        golden.read(path)


def test_any_flipped_bit_is_damage_or_nothing(tmp_path: Path) -> None:
    path, origin = tmp_path / "x.npz", golden.Origin(2, this_machine())
    golden.write(path, {"f": golden.Request({"x": np.zeros(1)}, {})}, origin)
    whole, told = path.read_bytes(), []
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        for ask in (golden.read, golden.read_origin):
            try:
                ask(path)
            except ValueError as error:
                told.append(str(error))
    assert told
    assert all(f"{path} is damaged: " in each for each in told)


@pytest.mark.parametrize("key", ["x", "f/inputs", "f/neither/x"])
def test_a_foreign_file_is_said_to_be(tmp_path: Path, key: str) -> None:
    np.savez(tmp_path / "x.npz", **{key: np.zeros(1)})
    with pytest.raises(ValueError, match="is damaged"):
        golden.read(tmp_path / "x.npz")


def test_what_is_packed_is_refused(tmp_path: Path) -> None:
    """A few bytes of a foreign model might fill the memory."""
    np.savez_compressed(tmp_path / "x.npz", **{"f/inputs/x": np.zeros(10)})
    with pytest.raises(ValueError, match="is damaged: it is compressed"):
        golden.read(tmp_path / "x.npz")


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **{"f/inputs/x": np.array([{}])})
    with pytest.raises(ValueError, match=r"is damaged: .*allow_pickle"):
        golden.read(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("recorded", "answered", "text"),
    [
        (np.float32([1, 2, 3]), np.float32([1, 2.5, 2]), "2 of 3 values differ, by 1 at most"),
        (np.float32([0.0]), np.float32([-0.0]), "1 of 1 values differ, by 0 at most"),
        (np.uint8([[0, 255]]), np.uint8([[255, 255]]), "1 of 2 values differ, by 255 at most"),
        (np.array([True]), np.array([False]), "1 of 1 values differ, by 1 at most"),
        (np.float32([np.nan]), np.float32([np.nan]), ""),
        (np.float32([1]), np.float64([1]), "is float64 (1,) in place of float32 (1,)"),
        (np.zeros((2, 1)), np.zeros((2, 2)), "is float64 (2, 2) in place of float64 (2, 1)"),
        (np.array([b"a", b"b"], object), np.array([b"a", b"c"], object), "1 of 2 strings differ"),
        (np.array([b"a"], object), np.float32([1]), "is float32 (1,) in place of string (1,)"),
        (np.float32(1), np.float32(1.5), "1 of 1 values differ, by 0.5 at most"),
    ],
)
def test_what_differs_is_said(recorded: np.ndarray, answered: np.ndarray, text: str) -> None:
    assert golden.difference(np.asarray(recorded), np.asarray(answered)) == text
