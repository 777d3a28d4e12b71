"""Read the JSON text of a REST request."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from savedmodels.server.codes import invalid

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# Escapes that are no lone surrogate: pairs of surrogates, and single letters.
_OTHER_ESCAPES = re.compile(r"\\(?:[^u]|u[dD][89abAB]..\\u[dD][c-fC-F]..)")


def parse(body: bytes) -> Any:
    """Read a JSON text as TensorFlow Serving does, with NaN, Infinity and any bytes in strings."""
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    # Bytes that are not UTF-8 pass through, because string tensors may hold any.
    text = body.decode("utf-8-sig", "surrogateescape")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    except RecursionError:
        raise invalid("JSON Parse error: Values are nested too deeply") from None
    except ValueError:  # From `_finite`, or from Python's limit on the digits of integers.
        raise invalid("JSON Parse error: A number is too large") from None
    # Python accepts a lone surrogate, which we would later write as a byte that is not UTF-8.
    if _SURROGATE.search(text) and _SURROGATE.search(_OTHER_ESCAPES.sub("", text)):
        raise invalid("JSON Parse error: A surrogate in a string has no pair")
    return value


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))  # Python's reader would keep the last.


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):  # Python reads numbers that are too large as Infinity.
        raise ValueError
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_first_of_each, parse_float=_finite)
