"""Pictures in `.npy` and `.npz` files, mapped, labelled, refused."""

import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.sources import numpy_files, open_source


def random_bytes(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    ("shape", "mode"),
    [
        ((3, 5, 7), "L"),
        ((3, 5, 7, 1), "L"),
        ((3, 5, 7, 3), "RGB"),
        ((3, 5, 7, 4), "RGBA"),
        ((3, 5, 3), "L"),
    ],
)
def test_npy(tmp_path: Path, shape: tuple[int, ...], mode: str) -> None:
    images = random_bytes(*shape)
    np.save(tmp_path / "some.npy", images)
    source = open_source(str(tmp_path / "some.npy"))
    assert (source.name, source.classes, len(source)) == ("some", (), 3)
    for picture, image in zip(source, images, strict=True):
        assert (picture.label, picture.read().mode) == (None, mode)
        assert (np.asarray(picture.read()) == image.squeeze()).all()
        assert picture.content() == image.tobytes()
    assert picture.name == "some number 2"


def test_npy_is_mapped(tmp_path: Path) -> None:
    file = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (200, 1024, 1024, 3))
    file[-1] = 7
    file.flush()
    tracemalloc.start()
    *_, last = open_source(str(tmp_path / "a.npy"))
    assert last.read().getpixel((1023, 1023)) == (7, 7, 7)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 2**20


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bit_npy_is_divided_by_257(tmp_path: Path, order: str) -> None:
    values = np.linspace(0, 65535, 2 * 4 * 4 * 3).astype(f"{order}u2").reshape(2, 4, 4, 3)
    np.save(tmp_path / "deep.npy", values)
    for picture, image in zip(open_source(str(tmp_path / "deep.npy")), values, strict=True):
        assert picture.read().mode == "RGB"
        assert (np.asarray(picture.read()) == np.floor(image / 257 + 0.5)).all()


def test_fortran_order(tmp_path: Path) -> None:
    images = np.asfortranarray(random_bytes(3, 5, 7, 3))
    np.save(tmp_path / "f.npy", images)
    for picture, image in zip(open_source(str(tmp_path / "f.npy")), images, strict=True):
        assert (np.asarray(picture.read()) == image).all()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 3, 3), np.float32),
        np.zeros((2, 3, 3), np.int64),
        np.zeros((2, 3, 3), bool),
        np.zeros((2, 3, 3), np.uint32),
        np.zeros((2, 3, 8, 8), np.uint8),
        np.zeros((2, 3, 3, 2), np.uint8),
        np.zeros((3, 3), np.uint8),
        np.zeros((0, 3, 3), np.uint8),
        np.zeros((), np.uint8),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(
    tmp_path: Path, array: np.ndarray, refusal
) -> None:
    np.save(tmp_path / "a.npy", array)
    assert f"with {array.dtype} {array.shape}" in refusal(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", images=array)
    assert f"with {array.dtype} {array.shape}" in refusal(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("images", "labels"), [("images", "labels"), ("x_train", "y_train"), ("faces", "labels")]
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path: Path, images: str, labels: str, save) -> None:
    values = random_bytes(3, 5, 7)
    arrays = {images: values, labels: np.array([[10], [-3], [10]]), "other": np.zeros((2, 2))}
    save(tmp_path / "set.npz", **arrays)
    source = open_source(str(tmp_path / "set.npz"))
    assert (source.name, source.classes) == ("set", ("-3", "10"))
    assert [picture.label for picture in source] == [1, 0, 1]
    assert [picture.content() for picture in source] == [image.tobytes() for image in values]


def test_npz_with_labels_as_text_or_without(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=random_bytes(3, 5, 7), labels=["dog", "cat", "dog"])
    source = open_source(str(tmp_path / "a.npz"))
    assert source.classes == ("cat", "dog")
    assert [picture.label for picture in source] == [1, 0, 1]
    np.savez(tmp_path / "c.npz", images=random_bytes(1, 5, 7), labels=["\x1b[31mred"])
    assert open_source(str(tmp_path / "c.npz")).classes == ("\\x1b[31mred",)
    np.savez(tmp_path / "b.npz", random_bytes(3, 5, 7))
    assert open_source(str(tmp_path / "b.npz")).classes == ()


def test_npz_without_one_array_of_pictures_is_refused(tmp_path: Path, refusal) -> None:
    images = random_bytes(3, 5, 7)
    np.savez(tmp_path / "a.npz", one=images, two=images)
    assert "with one, two" in refusal(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz")
    assert "with nothing" in refusal(tmp_path / "a.npz")
    for labels in (np.zeros(2, int), np.zeros((3, 2), int), np.zeros(3), np.zeros(3, bool)):
        np.savez(tmp_path / "a.npz", images=images, labels=labels)
        assert f"with {labels.dtype} {labels.shape} for 3" in refusal(tmp_path / "a.npz")


@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_what_is_refused_is_not_unpacked(tmp_path: Path, kind: type, refusal) -> None:
    """A small file may claim to hold as much as the machine has."""
    np.savez_compressed(tmp_path / "a.npz", x_train=np.zeros((2**25, 1, 1, 2), kind))
    assert (tmp_path / "a.npz").stat().st_size < 2**20
    tracemalloc.start()
    assert "Received: " in refusal(tmp_path / "a.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_a_shape_below_zero_is_refused(tmp_path: Path, refusal) -> None:
    """Its size would be taken off what the other arrays claim."""
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (-3, 4, 4)}\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + bytes([len(header), 0]) + header)
    assert "must be whole" in refusal(tmp_path / "a.npz")


class Harmful:
    """Writes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pickled_numpy_files_are_refused(tmp_path: Path, suffix: str, refusal) -> None:
    harmful = np.array([Harmful(tmp_path / "harm")], dtype=object)
    path = tmp_path / f"a{suffix}"
    np.save(path, harmful) if suffix == ".npy" else np.savez(path, images=harmful)
    assert "hold no objects" in refusal(path)
    path.write_bytes(pickle.dumps(Harmful(tmp_path / "harm")))
    assert "hold no objects" in refusal(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_damaged_numpy_files_are_refused(tmp_path: Path, suffix: str, monkeypatch, refusal) -> None:
    path = tmp_path / f"a{suffix}"
    save = np.save if suffix == ".npy" else np.savez_compressed
    save(path, random_bytes(3, 50, 70))
    whole = path.read_bytes()
    for damaged in (b"", whole[:-100], whole[: len(whole) // 2], b"text"):
        path.write_bytes(damaged)
        assert "must be whole" in refusal(path)
    if suffix == ".npz":
        path.write_bytes(whole)
        monkeypatch.setattr(numpy_files, "LARGEST_ARRAY", 1000)
        assert "at most 1000 bytes" in refusal(path)
