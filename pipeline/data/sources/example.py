"""Parse a serialized `tf.train.Example` without TensorFlow and without copying.

An `Example` holds named features; each is a list of bytes, integers or floats. A protobuf message
is a sequence of fields; each begins with a tag, which is `field number << 3 | wire type`.

Source: tensorflow/core/example/example.proto and feature.proto for the field numbers, and
https://protobuf.dev/programming-guides/encoding for the encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _EIGHT_BYTES, _SIZED, _FOUR_BYTES = 0, 1, 2, 5
"""Wire types of protobuf; a sized field states its length before its bytes."""
_LONGEST_VARINT = 10  # Maximum length of a varint (integer of variable length), in bytes.
_BYTES_LIST, _INT64_LIST = 1, 3  # Field numbers in `Feature`.


def example_features(example: bytes | memoryview) -> dict[str, memoryview]:
    """Return each serialized `Feature` by its name.

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
        ValueError: if `feature` is not a serialized `Feature`.
    """
    return [value for values in _sized(feature, _BYTES_LIST) for value in _sized(values, 1)]


def integers_in(feature: memoryview) -> list[int]:
    """Return the values of an integer feature; empty for a feature of another type.

    Raises:
        ValueError: if `feature` is not a serialized `Feature`.
    """
    found: list[int] = []
    for values in _sized(feature, _INT64_LIST):
        for number, value in _fields(values):
            if number == 1:
                # Accept both encodings: one field per integer, or all packed into one field.
                found += [value] if isinstance(value, int) else _unpack(value)
    # Restore negative integers, which protobuf writes as 64-bit two's complement.
    return [value - 2**64 if value >= 2**63 else value for value in found]


def _unpack(values: memoryview) -> Iterator[int]:
    position = 0
    while position < len(values):
        integer, position = _varint(values, position)
        yield integer


def _sized(message: memoryview, wanted: int) -> Iterator[memoryview]:
    # Skip fields of another wire type, as protobuf does.
    for number, value in _fields(message):
        if number == wanted and isinstance(value, memoryview):
            yield value


def _last(values: Iterator[memoryview]) -> memoryview:
    # Of a field that is not a list, protobuf uses the last value, or empty if there is none.
    last = memoryview(b"")
    for value in values:
        last = value
    return last


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        wire_type = tag & 7
        if wire_type == _VARINT:
            value, position = _varint(message, position)
            yield tag >> 3, value
            continue
        if wire_type == _SIZED:
            size, position = _varint(message, position)
        elif wire_type in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if wire_type == _EIGHT_BYTES else 4
        else:
            raise ValueError("no tf.train.Example: unknown kind of field")
        if position + size > len(message):
            raise ValueError("no tf.train.Example: a field is cut off")
        yield tag >> 3, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Read a varint, which has seven bits per byte; return its value and the position after it."""
    value = 0
    for index, byte in enumerate(message[position : position + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & (2**64 - 1), position + index + 1
    raise ValueError("no tf.train.Example: an integer is cut off")
