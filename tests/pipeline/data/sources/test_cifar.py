"""CIFAR as it is published, and as Python 3 or the binary version has it."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.sources import open_source

PIXELS = np.random.default_rng(1).integers(0, 256, (12, 3, 32, 32), np.uint8)
NAMES = ("plane", "car", "bird")


def pickled_by_python_3(values: dict[str, object]) -> bytes:
    return pickle.dumps({key.encode(): value for key, value in values.items()}, protocol=2)


WRITERS = ["python_2", "python_3", "python_3_text"]


@pytest.fixture
def write(request: pytest.FixtureRequest, pickled_by_python_2) -> Callable | None:
    """What pickles a dictionary as the test's parameter says; None for the binary version."""
    ways = [pickled_by_python_2, pickled_by_python_3, pickle.dumps, None]
    return dict(zip([*WRITERS, "binary"], ways, strict=True))[request.param]


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


@pytest.mark.parametrize("write", WRITERS, indirect=True)
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


@pytest.mark.parametrize("write", [*WRITERS, "binary"], indirect=True)
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


def test_incomplete_and_damaged_cifar_is_refused(tmp_path: Path, refusal) -> None:
    write_cifar10(tmp_path / "a", pickle.dumps)
    batch = tmp_path / "a" / "data_batch_3"
    whole = batch.read_bytes()
    one = {"data": PIXELS[:1].reshape(1, -1), "labels": [0]}
    for content, complaint in (
        (None, "data_batch_3 (No such file"),
        (b"", "data_batch_3 (it is damaged)"),
        (whole[:-20], "data_batch_3 ("),
        (pickle.dumps(one | {"labels": [0, 1]}), "3072 bytes for each"),
        (pickle.dumps(one | {"labels": ["0"]}), "3072 bytes for each"),
        (pickle.dumps(one | {"data": [0]}), "3072 bytes for each"),
        (pickle.dumps({"labels": [0]}), "3072 bytes for each"),
        (pickle.dumps([]), "not a dictionary"),
        (pickle.dumps(one | {"labels": [3]}), "numbers of its 3 classes"),
        (pickle.dumps(one | {"labels": [-1]}), "numbers of its 3 classes"),
        (pickle.dumps(one | {"labels": [2**70]}), "3072 bytes for each"),
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
