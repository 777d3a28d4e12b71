import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluation.features.arrays import hash_of, npz_of, read_arrays


def test_the_hash_of_arrays_covers_names_types_shapes_and_values() -> None:
    value = np.arange(6, dtype=np.float32)
    same = [{"a": value, "b": value + 1}, {"b": value + 1, "a": value.copy()}]
    others = [
        {"a": value, "c": value + 1},
        {"a": value, "b": (value + 1).astype(np.float64)},
        {"a": value.reshape(2, 3), "b": value + 1},
        {"a": value, "b": value},
        {"a": value},
    ]
    assert len({hash_of(arrays) for arrays in same}) == 1
    assert len({hash_of(arrays) for arrays in (same[0], *others)}) == 6


def test_arrays_come_out_of_a_file_as_they_went_in(tmp_path: Path) -> None:
    arrays = {"a/b": np.arange(6, dtype=np.float32).reshape(2, 3), "c": np.array([1, 2])}
    (tmp_path / "file.npz").write_bytes(npz_of(arrays))
    found = read_arrays(tmp_path / "file.npz")
    assert hash_of(found) == hash_of(arrays)


def test_other_files_are_refused(tmp_path: Path) -> None:
    whole = npz_of({"a": np.zeros(1000)})
    (tmp_path / "half.npz").write_bytes(whole[:500])
    (tmp_path / "text.npz").write_bytes(b"text")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.savez(tmp_path / "objects.npz", a=np.array([{}], object))
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("half.npz", "text.npz", "empty.npz", "objects.npz", "array.npy"):
        with pytest.raises(ValueError):  # noqa: PT011 - NumPy words it in many ways
            read_arrays(tmp_path / name)
    with pytest.raises(OSError, match="absent"):
        read_arrays(tmp_path / "absent.npz")


def test_what_unpacks_to_much_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "small.npz", a=np.zeros(2**23 + 1))
    tracemalloc.start()
    with pytest.raises(ValueError, match="its arrays have more than 67108864 bytes"):
        read_arrays(tmp_path / "small.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
