import contextlib
import pickle
import tempfile
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.sources import numpy_files, open_source
from pipeline.data.sources.plain_pickle import load_plain_pickle
from pipeline.errors import UserError


def refusal(spec: object) -> str:
    with pytest.raises(UserError) as caught:
        open_source(str(spec))
    assert "\n" not in str(caught.value)
    assert "Received: " in str(caught.value)
    return str(caught.value)


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
def test_arrays_that_are_no_pictures_are_refused(tmp_path: Path, array: np.ndarray) -> None:
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
    np.savez(tmp_path / "b.npz", random_bytes(3, 5, 7))
    assert open_source(str(tmp_path / "b.npz")).classes == ()


def test_npz_without_one_array_of_pictures_is_refused(tmp_path: Path) -> None:
    images = random_bytes(3, 5, 7)
    np.savez(tmp_path / "a.npz", one=images, two=images)
    assert "with one, two" in refusal(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz")
    assert "with nothing" in refusal(tmp_path / "a.npz")
    for labels in (np.zeros(2, int), np.zeros((3, 2), int), np.zeros(3), np.zeros(3, bool)):
        np.savez(tmp_path / "a.npz", images=images, labels=labels)
        assert f"with {labels.dtype} {labels.shape} for 3" in refusal(tmp_path / "a.npz")


class Harmful:
    """Writes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pickled_numpy_files_are_refused(tmp_path: Path, suffix: str) -> None:
    harmful = np.array([Harmful(tmp_path / "harm")], dtype=object)
    path = tmp_path / f"a{suffix}"
    np.save(path, harmful) if suffix == ".npy" else np.savez(path, images=harmful)
    assert "hold no objects" in refusal(path)
    path.write_bytes(pickle.dumps(Harmful(tmp_path / "harm")))
    assert "hold no objects" in refusal(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_damaged_numpy_files_are_refused(tmp_path: Path, suffix: str, monkeypatch) -> None:
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


# CIFAR ------------------------------------------------------------------------------------------

PIXELS = np.random.default_rng(1).integers(0, 256, (12, 3, 32, 32), np.uint8)
NAMES = ("plane", "car", "bird")


def pickled_by_python_2(values: dict[str, object]) -> bytes:
    """Write a dictionary as Python 2 and its NumPy did for the published batches."""

    def text(value: bytes) -> bytes:
        return b"T" + len(value).to_bytes(4, "little") + value

    def of(value: object) -> bytes:
        match value:
            case int():
                return b"J" + value.to_bytes(4, "little", signed=True)
            case str():
                return text(value.encode())
            case list():
                return b"](" + b"".join(map(of, value)) + b"e"
            case np.ndarray():
                kind = (
                    b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN" + of(-1) * 2 + b"K\x00tb"
                )
                made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
                shape = b"(" + b"".join(map(of, value.shape)) + b"t"
                return made + b"(K\x01" + shape + kind + b"\x89" + text(value.tobytes()) + b"tb"
        raise TypeError(value)

    items = b"".join(of(key) + of(value) for key, value in values.items())
    return b"\x80\x02}(" + items + b"u."


def pickled_by_python_3(values: dict[str, object]) -> bytes:
    return pickle.dumps({key.encode(): value for key, value in values.items()}, protocol=2)


WRITERS = [pickled_by_python_2, pickled_by_python_3, pickle.dumps]


def labels_of(batch: int) -> list[int]:
    return [batch % 3, (batch + 1) % 3]


def write_cifar10(folder: Path, write) -> None:
    folder.mkdir()
    names = {"label_names": list(NAMES), "num_vis": 3072}
    (folder / "batches.meta").write_bytes(write(names))
    for batch, file in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        data = PIXELS[2 * batch : 2 * batch + 2].reshape(2, -1)
        content = {"batch_label": "batch", "labels": labels_of(batch), "data": data}
        (folder / file).write_bytes(write(content))


def write_cifar10_binary(folder: Path) -> None:
    folder.mkdir()
    (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    for batch, file in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        data = PIXELS[2 * batch : 2 * batch + 2].reshape(2, -1)
        (folder / f"{file}.bin").write_bytes(
            b"".join(bytes([n]) + d.tobytes() for n, d in zip(labels_of(batch), data, strict=True))
        )


def agrees(source, first: int, last: int) -> bool:
    expected = [label for batch in range(6) for label in labels_of(batch)][first:last]
    assert source.classes == NAMES
    assert [picture.label for picture in source] == expected
    for picture, image in zip(source, PIXELS[first:last], strict=True):
        found = picture.read()
        assert found.mode == "RGB"
        assert (np.asarray(found) == image.transpose(1, 2, 0)).all()
        assert picture.content() == image.transpose(1, 2, 0).tobytes()
    return True


@pytest.mark.parametrize("write", WRITERS)
def test_cifar_10_batches(tmp_path: Path, write) -> None:
    write_cifar10(tmp_path / "cifar", write)
    assert agrees(open_source(str(tmp_path / "cifar")), 0, 10)
    assert agrees(open_source(str(tmp_path / "cifar" / "test_batch")), 10, 12)
    assert open_source(str(tmp_path / "cifar")).name == "cifar"
    assert open_source(str(tmp_path / "cifar" / "test_batch")).name == "cifar-test_batch"


def test_cifar_10_binary(tmp_path: Path) -> None:
    write_cifar10_binary(tmp_path / "cifar")
    assert agrees(open_source(str(tmp_path / "cifar")), 0, 10)
    assert agrees(open_source(str(tmp_path / "cifar" / "test_batch.bin")), 10, 12)
    assert agrees(open_source(str(tmp_path / "cifar" / "data_batch_2.bin")), 2, 4)


@pytest.mark.parametrize("write", [*WRITERS, None])
def test_cifar_100_takes_the_fine_labels(tmp_path: Path, write) -> None:
    data = PIXELS[:2].reshape(2, -1)
    if write is None:
        records = [bytes([1, label]) + d.tobytes() for label, d in zip([0, 1], data, strict=True)]
        (tmp_path / "train.bin").write_bytes(b"".join(records))
        (tmp_path / "fine_label_names.txt").write_text("\n".join(NAMES))
        (tmp_path / "coarse_label_names.txt").write_text("thing\nbeast")
    else:
        batch = {"data": data, "fine_labels": [0, 1], "coarse_labels": [1, 1]}
        (tmp_path / "train").write_bytes(write(batch))
        meta = {"fine_label_names": list(NAMES), "coarse_label_names": ["thing", "beast"]}
        (tmp_path / "meta").write_bytes(write(meta))
    assert agrees(open_source(str(tmp_path)), 0, 2)


def test_python_2_batches_are_what_pickle_reads(tmp_path: Path) -> None:
    content = {"data": PIXELS[:2], "labels": [1, 2], "name": "x"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # for the old name of a module
        expected = pickle.loads(pickled_by_python_2(content), encoding="bytes")
    (tmp_path / "a").write_bytes(pickled_by_python_2(content))
    found = load_plain_pickle(tmp_path / "a")
    assert (expected[b"data"] == found["data"]).all()
    assert (found["labels"], found["name"]) == (expected[b"labels"], expected[b"name"])


def test_incomplete_and_damaged_cifar_is_refused(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "a", pickle.dumps)
    batch = tmp_path / "a" / "data_batch_3"
    whole = batch.read_bytes()
    one = {"data": PIXELS[:1].reshape(1, -1), "labels": [0]}
    for content, complaint in (
        (None, "data_batch_3 (No such file"),
        (b"", "data_batch_3 (EOFError)"),
        (whole[:-20], "data_batch_3 ("),
        (pickle.dumps(one | {"labels": [0, 1]}), "3072 bytes for each"),
        (pickle.dumps(one | {"labels": ["0"]}), "3072 bytes for each"),
        (pickle.dumps(one | {"data": [0]}), "3072 bytes for each"),
        (pickle.dumps({"labels": [0]}), "3072 bytes for each"),
        (pickle.dumps([]), "no dictionary"),
        (pickle.dumps(one | {"labels": [3]}), "those of its 3 classes"),
        (pickle.dumps(one | {"labels": [-1]}), "those of its 3 classes"),
    ):
        batch.unlink(missing_ok=True)
        if content is not None:
            batch.write_bytes(content)
        assert complaint in refusal(tmp_path / "a")
    for names in ([], ["a", "a"], "text", None):
        (tmp_path / "a" / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
        assert "class names" in refusal(tmp_path / "a")
    write_cifar10_binary(tmp_path / "b")
    first = tmp_path / "b" / "data_batch_1.bin"
    first.write_bytes(first.read_bytes()[:-1])
    assert "records of 3073 bytes" in refusal(tmp_path / "b")
    first.write_bytes(b"")
    assert len(open_source(str(tmp_path / "b"))) == 8
    assert "others or none" in refusal(first)
    first.unlink()
    assert "data_batch_1.bin" in refusal(tmp_path / "b")


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


@pytest.mark.parametrize("code", HARMFUL)
def test_pickles_that_name_anything_else_are_refused(tmp_path: Path, code: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\x80\x02}S'data'\n" + code.replace(b"{}", bytes(tmp_path / "harm")) + b"s.")
    with pytest.raises(UserError, match="nothing but plain values") as caught:
        load_plain_pickle(path)
    assert "\n" not in str(caught.value)
    path.write_bytes(code.replace(b"{}", bytes(tmp_path / "harm")))
    with pytest.raises(UserError):
        load_plain_pickle(path)
    assert not (tmp_path / "harm").exists()


def test_arrays_in_pickles_must_have_their_stated_size(tmp_path: Path) -> None:
    honest = pickled_by_python_2({"data": PIXELS[0, 0]})
    shape = b"J\x20\x00\x00\x00J\x20\x00\x00\x00"
    assert shape in honest
    (tmp_path / "a").write_bytes(honest.replace(shape, b"J\xff\xff\xff\x7fJ\x20\x00\x00\x00"))
    with pytest.raises(UserError, match="its stated size"):
        load_plain_pickle(tmp_path / "a")


def test_fortran_order_in_pickles(tmp_path: Path) -> None:
    values = np.asfortranarray(random_bytes(4, 6))
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
