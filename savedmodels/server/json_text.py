"""Parse the JSON text of REST requests as TensorFlow Serving does."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from savedmodels.server.codes import invalid

# Start of a surrogate escape, such as \ud83d: half of a character beyond 16 bits.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# Escapes to remove before the search: surrogate pairs, and those of one character, as an escaped
# backslash may stand before "ud83d".
_OTHER_ESCAPES = re.compile(r"\\(?:[^u]|u[dD][89abAB]..\\u[dD][c-fC-F]..)")


def parse(body: bytes) -> Any:
    """Parse a JSON text; NaN, Infinity and bytes that are not UTF-8 (in strings) are allowed."""
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    # Let bytes that are not UTF-8 pass, because string tensors may hold any bytes.
    text = body.decode("utf-8-sig", "surrogateescape")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    except RecursionError:
        raise invalid("JSON Parse error: Values are nested too deeply") from None
    except ValueError:  # from `_parse_float`, or from Python's limit on the digits of integers
        raise invalid("JSON Parse error: A number is too large") from None
    # Refuse a lone surrogate, which Python accepts: it cannot be written as valid UTF-8.
    if _SURROGATE.search(text) and _SURROGATE.search(_OTHER_ESCAPES.sub("", text)):
        raise invalid("JSON Parse error: A surrogate in a string has no pair")
    return value


def _keep_first_of_each_key(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))  # In the order read, `dict` would keep the last of each key.


def _parse_float(number: str) -> float:
    value = float(number)
    if math.isinf(value):  # `float` turns numbers that are too large into infinity.
        raise ValueError
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_keep_first_of_each_key, parse_float=_parse_float)
