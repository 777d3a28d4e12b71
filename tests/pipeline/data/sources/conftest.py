"""What tests of sources share: refusals, zips, and files as other programs write them."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.sources import open_source
from pipeline.errors import UserError


@pytest.fixture
def refusal() -> Callable[[object], str]:
    """Open what is no source; return the message, which is one line and says what came."""

    def message(spec: object) -> str:
        with pytest.raises(UserError) as caught:
            open_source(str(spec))
        assert "\n" not in str(caught.value)
        assert "Received: " in str(caught.value)
        return str(caught.value)

    return message


@pytest.fixture
def zipped() -> Callable[..., Path]:
    """Pack a folder: `zipped(folder, path, inside)`, beside it unless a path is given."""

    def pack(folder: Path, path: Path | None = None, inside: str = "") -> Path:
        path = path or folder.with_suffix(".zip")
        with zipfile.ZipFile(path, "w") as file:
            for member in folder.rglob("*"):
                file.write(member, f"{inside}{member.relative_to(folder).as_posix()}")
        return path

    return pack


@pytest.fixture
def write_records() -> Callable[[Path, list[bytes]], Path]:
    """Write a TFRecord file: `write_records(path, records)`."""
    import tensorflow as tf

    def write(path: Path, records: list[bytes]) -> Path:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                writer.write(record)
        return path

    return write


@pytest.fixture
def example() -> Callable[..., bytes]:
    """Serialize a `tf.train.Example`: `example(name=bytes or integers, …)`."""
    import tensorflow as tf

    def serialized(**values: bytes | list[int]) -> bytes:
        feature = {
            name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
            if isinstance(value, bytes)
            else tf.train.Feature(int64_list=tf.train.Int64List(value=value))
            for name, value in values.items()
        }
        return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

    return serialized


@pytest.fixture
def pickled_by_python_2() -> Callable[[dict[str, object]], bytes]:
    """Write a dictionary as Python 2 and its NumPy did for the published batches of CIFAR."""

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

    def pickled(values: dict[str, object]) -> bytes:
        items = b"".join(of(key) + of(value) for key, value in values.items())
        return b"\x80\x02}(" + items + b"u."

    return pickled
