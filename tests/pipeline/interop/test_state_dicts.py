"""Dumps of the states of PyTorch networks: numbers by name, and nothing else."""

from __future__ import annotations

import contextlib
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.families.official import reading, state_dicts
from pipeline.families.official.state_dicts import networks_in, read_state_dict

ARRAYS = {
    "G.a": np.arange(6, dtype="<f4").reshape(2, 3),
    "G.scalar": np.asarray(0.5, "<f8"),
    "D.half": np.float16([1, -2]),
    "D.empty": np.empty((0, 2), "<f4"),
}
KINDS = {"<f8": "F64", "<f4": "F32", "<f2": "F16", "<i8": "I64"}


def safetensors(arrays: dict[str, np.ndarray], **changes: Any) -> bytes:
    """A file as the format's description has it."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    content = b""
    for name, array in arrays.items():
        end = len(content) + array.nbytes
        header[name] = {
            "dtype": KINDS[array.dtype.newbyteorder("<").str],
            "shape": list(array.shape),
            "data_offsets": [len(content), end],
            **changes,
        }
        content += array.tobytes()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)
    assert "a dump of weights must be an .npz or .safetensors file" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_numbers_are_what_was_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    arrays = {**ARRAYS, "G.count": np.asarray([3], "<i8")}
    if suffix == "npz":
        np.savez_compressed(path, **arrays)
    else:
        path.write_bytes(safetensors(arrays))
    found = read_state_dict(path)
    assert found.keys() == ARRAYS.keys()  # counts are no weights
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_bfloat16_is_the_upper_half_of_float32(tmp_path: Path) -> None:
    values = np.float32([1.0, -2.5, 0.0078125])
    halves = (values.view("<u4") >> 16).astype("<u2")
    content = safetensors({"G.a": halves.view("<f2")}, dtype="BF16")
    (tmp_path / "a.safetensors").write_bytes(content)
    np.testing.assert_array_equal(read_state_dict(tmp_path / "a.safetensors")["G.a"], values)


def test_safetensors_are_read_as_its_own_library_writes_them(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.numpy")
    library.save_file(ARRAYS, tmp_path / "a.safetensors")
    for name, array in read_state_dict(tmp_path / "a.safetensors").items():
        np.testing.assert_array_equal(array, ARRAYS[name])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        (2**40).to_bytes(8, "little"),
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{",
        (100_000).to_bytes(8, "little") + b"[" * 100_000,
        safetensors(ARRAYS, data_offsets=[0, 10**9]),
        safetensors(ARRAYS, data_offsets=[-4, 4]),
        safetensors(ARRAYS, data_offsets=[8, 4]),
        safetensors(ARRAYS, data_offsets=[0, 40]),  # all of them
        safetensors(ARRAYS, shape=[7, 7]),
        safetensors(ARRAYS, shape=None),
        safetensors(ARRAYS, shape=[2**40, 2**40]),
        safetensors({"a": ARRAYS["G.a"]})[:-1],
    ],
)
def test_damaged_safetensors_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    assert "(it is damaged)" in refusal(tmp_path / "a.safetensors")


class Harm:
    """Is an object."""


def test_objects_and_other_files_as_npz_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.asarray([Harm()]))
    assert "damaged" in refusal(path)
    path.write_bytes(b"PK\x03\x04")
    assert "damaged" in refusal(path)
    np.savez_compressed(path, **{"G.a": np.zeros(10**6, "f4")})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "damaged" in refusal(path)
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("G.a.npy", b"\x93NUMPY\x01\x00" + bytes([len(header), 0]) + header)
    assert "it unpacks to more than 2147483648 bytes" in refusal(path)
    monkeypatch.setattr(state_dicts, "LARGEST_FILE", 1_000_000)
    path.write_bytes(content)
    assert "it unpacks to more than 1000000 bytes" in refusal(path)
    assert "No such file" in refusal(tmp_path / "none.npz")
    monkeypatch.setattr(reading, "LARGEST_FILE", 10)
    (tmp_path / "a.safetensors").write_bytes(safetensors(ARRAYS))
    assert "it is larger than 10 bytes" in refusal(tmp_path / "a.safetensors")


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_any_damage_is_read_or_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    np.savez(path, **ARRAYS) if suffix == "npz" else path.write_bytes(safetensors(ARRAYS))
    content = path.read_bytes()
    places = np.random.default_rng(0)
    began = time.monotonic()
    for _ in range(200):
        damaged = bytearray(content)
        damaged[places.integers(len(content))] ^= 1 << places.integers(8)
        path.write_bytes(damaged[: places.integers(1, len(content) * 8)])
        with contextlib.suppress(UserError):
            read_state_dict(path)
    assert time.monotonic() - began < 60


def test_networks_are_told_by_the_beginnings_of_names() -> None:
    one = np.ones(1)
    names = ["var/G/a.b", "D.b4.fc", "G_ema/a", "augment_pipe.x", "Generator.y", "meta"]
    networks = networks_in(dict.fromkeys(names, one))
    assert {name: list(state) for name, state in networks.items()} == {
        "G": ["a.b"], "D": ["b4.fc"], "G_ema": ["a"]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a", "b"], "Received: none of them"),
        (["G/a", "G_ema/a"], "Received: G, G_ema"),
        (["D/a"], "Received: D"),
    ],
)
def test_dumps_without_both_networks_are_refused(names: list[str], says: str) -> None:
    with pytest.raises(UserError) as caught:
        networks_in(dict.fromkeys(names, np.ones(1)))
    assert str(caught.value).endswith(says)
