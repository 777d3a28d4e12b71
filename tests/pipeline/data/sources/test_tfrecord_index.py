"""Records in TFRecord files: found, checked, and never believed unchecked."""

import struct
from pathlib import Path

import pytest

from pipeline.data.sources.tfrecord_index import index_records, masked_crc
from pipeline.errors import UserError

RECORDS = [b"", b"one", bytes(range(256)) * 100, b"last"]


def test_records_are_what_tensorflow_wrote(tmp_path: Path, write_records) -> None:
    found = index_records(write_records(tmp_path / "a.tfrecords", RECORDS))
    assert [found.read(number) for number in range(len(found))] == RECORDS
    assert [bytes(record) for record in found.scan()] == RECORDS
    empty = index_records(write_records(tmp_path / "b.tfrecords", []))
    assert (len(empty), list(empty.scan())) == (0, [])


def test_every_flipped_byte_is_found(tmp_path: Path, write_records) -> None:
    path = write_records(tmp_path / "a.tfrecords", [b"first", b"second"])
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        number, inside = divmod(position, 16 + len("first"))
        if number == 2:
            number, inside = 1, inside + 16 + len("first")
        if inside < 12:
            with pytest.raises(UserError, match=f"with a wrong one at record {number}"):
                index_records(path)
            continue
        records = index_records(path)
        with pytest.raises(OSError, match=rf"record {number} of a\.tfrecords has a wrong checksum"):
            records.read(number)
        assert records.read(1 - number) == (b"second", b"first")[number]


def test_truncated_files_are_refused(tmp_path: Path, write_records) -> None:
    path = write_records(tmp_path / "a.tfrecords", [b"first", b"second"])
    whole = path.read_bytes()
    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        if size == 16 + len("first"):
            assert len(index_records(path)) == 1
            continue
        with pytest.raises(UserError, match=f"cut off in record {int(size > 21)}"):
            index_records(path)


def test_a_file_that_shrinks_or_vanishes_meanwhile_is_an_error(
    tmp_path: Path, write_records
) -> None:
    path = write_records(tmp_path / "a.tfrecords", [b"first", b"second"])
    records = index_records(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(OSError, match="wrong checksum"):
        records.read(1)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        records.read(0)
    with pytest.raises(UserError, match="No such file"):
        index_records(path)


def test_a_length_is_not_believed_without_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecords"
    length = struct.pack("<Q", 2**62)
    path.write_bytes(length + struct.pack("<I", masked_crc(length)) + b"text")
    with pytest.raises(UserError, match="cut off in record 0"):
        index_records(path)
    path.write_bytes(length + b"\0\0\0\0" + b"text")
    with pytest.raises(UserError, match="not be compressed"):
        index_records(path)
