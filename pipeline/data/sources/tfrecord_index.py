"""Read any record of a TFRecord file by its index, without TensorFlow.

Each record is stored as its length in bytes (8 bytes), a checksum of the length (4), its content,
and a checksum of the content (4), all little-endian. A checksum is the CRC-32C, rotated right by 15
bits, plus 0xa282ead8, modulo 2³².

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details".
"""

from __future__ import annotations

import mmap
import os
import struct
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import google_crc32c

from pipeline.data.sources.reason import as_user_error
from pipeline.errors import UserError

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")


def masked_crc(content: bytes) -> int:
    """Compute the checksum that a TFRecord file stores for `content`."""
    crc = google_crc32c.value(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@dataclass(frozen=True)
class RecordFile:
    """TFRecord file; `starts` has the byte offset of each record's header, and of the end."""

    path: Path
    starts: Sequence[int]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def scan(self) -> Iterator[memoryview]:
        """Yield all records in order, memory-mapped and without checking their checksums."""
        if not len(self):
            return
        with self.path.open("rb") as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        for start, end in pairwise(self.starts):
            yield content[start + _HEADER.size : end - _FOOTER.size]

    def read(self, number: int) -> bytes:
        """Read the record of an index, from 0, and check its checksums.

        Raises:
            OSError: if it cannot be read, or a checksum is wrong.
        """
        start, end = self.starts[number], self.starts[number + 1]
        with _open(self.path) as descriptor:
            content = os.pread(descriptor, end - start, start)
        record = content[_HEADER.size : -_FOOTER.size]
        header = _HEADER.pack(len(record), masked_crc(struct.pack("<Q", len(record))))
        if content != header + record + _FOOTER.pack(masked_crc(record)):
            raise OSError(f"record {number} of {self.path.name} has a wrong checksum")
        return record


def index_records(path: Path) -> RecordFile:
    """Find where each record of a TFRecord file begins, by reading only the lengths.

    Raises:
        UserError: if the file is not readable, ends in a record, or a length's checksum is wrong.
    """
    # Use an array: it takes 8 bytes per record, a list several times as many.
    starts = array("q", [0])
    with as_user_error("a TFRecord file must be readable", path, OSError), _open(path) as file:
        size = os.fstat(file).st_size
        while starts[-1] < size:
            starts.append(_end_of_record(path, file, len(starts) - 1, starts[-1], size))
    return RecordFile(path, starts)


def _end_of_record(path: Path, descriptor: int, number: int, start: int, size: int) -> int:
    """Return the end of the record that begins at `start`, in a file of `size` bytes."""
    header = os.pread(descriptor, _HEADER.size, start)
    if len(header) == _HEADER.size:
        length, checksum = _HEADER.unpack(header)
        if checksum != masked_crc(header[:8]):
            raise UserError(
                "a TFRecord file must hold lengths with right checksums, and not be compressed. "
                f"Received: {path}, with a wrong one at record {number}"
            )
        end: int = start + _HEADER.size + length + _FOOTER.size
        if end <= size:
            return end
    raise UserError(f"a TFRecord file must be whole. Received: {path}, cut off in record {number}")


@contextmanager
def _open(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
