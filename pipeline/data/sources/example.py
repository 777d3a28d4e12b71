"""Read features of a serialized `tf.train.Example` without TensorFlow and without copying.

Source: tensorflow/core/example/example.proto and feature.proto, and
https://protobuf.dev/programming-guides/encoding for the encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _EIGHT_BYTES, _SIZED, _FOUR_BYTES = 0, 1, 2, 5
_LONGEST_VARINT = 10
_BYTES_LIST, _INT64_LIST = 1, 3


def example_features(example: bytes | memoryview) -> dict[str, memoryview]:
    """Return each feature by its name, still serialized.

    Raises:
        ValueError: if the bytes are not an `Example`.
    """
    found = {}
    for features in _sized(memoryview(example), 1):
        for entry in _sized(features, 1):
            name, feature = (_last(_sized(entry, number)) for number in (1, 2))
            found[bytes(name).decode()] = feature
    return found


def bytes_in(feature: memoryview) -> list[memoryview]:
    """Return the values of a bytes feature; empty for a feature of another type.

    Raises:
        ValueError: if the bytes are no `Feature`.
    """
    return [value for values in _sized(feature, _BYTES_LIST) for value in _sized(values, 1)]


def integers_in(feature: memoryview) -> list[int]:
    """Return the values of an integer feature; empty for a feature of another type.

    Raises:
        ValueError: if the bytes are no `Feature`.
    """
    found: list[int] = []
    for values in _sized(feature, _INT64_LIST):
        for number, value in _fields(values):
            if number == 1:
                # Writers may store each integer alone, or all packed into one field.
                found += [value] if isinstance(value, int) else _packed(value)
    # Protobuf writes negative integers as 64-bit two's complement.
    return [value - 2**64 if value >= 2**63 else value for value in found]


def _packed(values: memoryview) -> Iterator[int]:
    position = 0
    while position < len(values):
        integer, position = _varint(values, position)
        yield integer


def _sized(message: memoryview, wanted: int) -> Iterator[memoryview]:
    # Fields of another type are passed over, as protobuf does.
    for number, value in _fields(message):
        if number == wanted and isinstance(value, memoryview):
            yield value


def _last(values: Iterator[memoryview]) -> memoryview:
    # The last value counts of a field that is not repeated; empty if missing.
    last = memoryview(b"")
    for value in values:
        last = value
    return last


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield tag >> 3, value
            continue
        if kind == _SIZED:
            size, position = _varint(message, position)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError("no tf.train.Example: unknown kind of field")
        if position + size > len(message):
            raise ValueError("no tf.train.Example: a field is cut off")
        yield tag >> 3, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Read an integer of seven bits per byte; return it and the position after it."""
    value = 0
    for index, byte in enumerate(message[position : position + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & (2**64 - 1), position + index + 1
    raise ValueError("no tf.train.Example: an integer is cut off")
