"""Read the JSON text of a REST request."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from savedmodels.server.codes import invalid

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_OTHER_ESCAPES = re.compile(r"\\(?:[^u]|u[dD][89abAB]..\\u[dD][c-fC-F]..)")
"""Escapes that are no lone surrogate: pairs of surrogates, and single letters."""


def parse(body: bytes) -> Any:
    """Read a JSON text as TensorFlow Serving does.

    NaN and Infinity are allowed, the first of equal keys counts, and bytes that are not UTF-8
    are kept in strings as surrogate escapes.

    Raises:
        Refused: INVALID_ARGUMENT, with the first fault and its offset in characters.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    text = body.decode("utf-8-sig", "surrogateescape")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    except RecursionError:
        raise invalid("JSON Parse error: Values are nested too deeply") from None
    except ValueError:
        raise invalid("JSON Parse error: A number is too large") from None
    # Python accepts a lone surrogate, which we would later write as a byte that is not UTF-8.
    if _SURROGATE.search(text) and _SURROGATE.search(_OTHER_ESCAPES.sub("", text)):
        raise invalid("JSON Parse error: A surrogate in a string has no pair")
    return value


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):  # Python reads numbers that are too large as Infinity.
        raise ValueError
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_first_of_each, parse_float=_finite)
