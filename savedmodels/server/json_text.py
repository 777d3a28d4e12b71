"""JSON as TensorFlow Serving reads it, by RapidJSON: NaN and Infinity, its faults, its offsets."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from savedmodels.server.codes import invalid
from savedmodels.server.time_left import EVERY, require_time

_SPACE = re.compile(r"[ \n\r\t]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_HEX = re.compile(r"[0-9A-Fa-f]{4}")
_DIGITS = re.compile(r"[0-9]*")
_ESCAPES = dict(zip('"/\\bfnrt', '"/\\\b\f\n\r\t', strict=True))
_WORDS = {"n": ("null", None), "t": ("true", True), "f": ("false", False)}
# Python's reader takes lone surrogates, and numbers beyond any double, without a word.
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_DOUBTFUL = re.compile(
    rb"%b(?!%b)|(?<!%b)%b|[eE]\+?[0-9]{3}|[0-9]{300}" % (_HIGH, _LOW, _HIGH, _LOW)
)
_NUMBERS = re.compile(
    r"(?:-?(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,20})?[ \n\r\t]*,[ \n\r\t]*){1,10000}"
)
"""Characters of an array, of which most bodies consist: Python's reader takes many at once."""


def parse(body: bytes) -> Any:
    """The value of a JSON text; of keys that are there twice the first counts.

    Python's reader does it where it can, which is much faster; what it refuses or may read
    otherwise is read here.

    Raises:
        Refused: INVALID_ARGUMENT, with RapidJSON's words and the offset in bytes; or
            DEADLINE_EXCEEDED.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        if not _DOUBTFUL.search(body):
            # Bytes that are no UTF-8 pass through, as in RapidJSON.
            return _DECODER.decode(body.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        pass
    try:
        return _Reader(body).document()
    except RecursionError:
        raise invalid("JSON Parse error: Values are nested too deeply.") from None


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_first_of_each)


class _Reader:
    """Reads from the front and stops at the first fault, as RapidJSON does."""

    def __init__(self, body: bytes) -> None:
        # One character a byte, so that positions are offsets; RapidJSON ends at a zero byte.
        self.text = body.removeprefix(b"\xef\xbb\xbf").partition(b"\0")[0].decode("latin-1")
        self.skipped = len(body) - len(body.removeprefix(b"\xef\xbb\xbf"))
        self.at = 0
        self.read = 0

    def document(self) -> Any:
        self._space()
        if not self._peek():
            self._fail("The document is empty.")
        value = self._value()
        self._space()
        if self._peek():
            self._fail("The document root must not be followed by other values.")
        return value

    def _value(self) -> Any:
        self.read += 1
        if self.read % EVERY == 0:
            require_time()
        first = self._peek()
        if first in _WORDS:
            word, value = _WORDS[first]
            self._rest_of(word)
            return value
        if first == '"':
            return self._string()
        if first == "{":
            return self._object()
        if first == "[":
            return self._array()
        return self._number()

    def _object(self) -> dict[str, Any]:
        self.at += 1
        self._space()
        pairs: list[tuple[str, Any]] = []
        if self._consume("}"):
            return {}
        while True:
            if self._peek() != '"':
                self._fail("Missing a name for object member.")
            key = self._string()
            self._space()
            if not self._consume(":"):
                self._fail("Missing a colon after a name of object member.")
            self._space()
            pairs.append((key, self._value()))
            self._space()
            if self._consume("}"):
                return _first_of_each(pairs)
            if not self._consume(","):
                self._fail("Missing a comma or '}' after an object member.")
            self._space()

    def _array(self) -> list[Any]:
        self.at += 1
        self._space()
        values: list[Any] = []
        if self._consume("]"):
            return values
        while True:
            while numbers := _NUMBERS.match(self.text, self.at):
                require_time()
                values += _DECODER.decode(f"[{numbers[0].rstrip()[:-1]}]")
                self.at = numbers.end()
            values.append(self._value())
            self._space()
            if self._consume("]"):
                return values
            if not self._consume(","):
                self._fail("Missing a comma or ']' after an array element.")
            self._space()

    def _string(self) -> str:
        self.at += 1
        parts: list[str] = []
        while True:
            # Bytes that are no UTF-8 pass through, as in RapidJSON.
            plain = self._match(_PLAIN).encode("latin-1").decode("utf-8", "surrogateescape")
            parts.append(plain)
            if self._consume('"'):
                return "".join(parts)
            if self._consume("\\"):
                parts.append(self._escaped())
            elif self._peek():
                self._fail("Invalid encoding in string.")
            else:
                self._fail("Missing a closing quotation mark in string.")

    def _escaped(self) -> str:
        start = self.at - 1
        if self._consume("u"):
            high = self._hex(start)
            if not 0xD800 <= high <= 0xDFFF:
                return chr(high)
            low = self._hex(start) if self._consume("\\") and self._consume("u") else 0
            if high > 0xDBFF or not 0xDC00 <= low <= 0xDFFF:
                self._fail("The surrogate pair in string is invalid.", start)
            return chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00)
        letter = self._peek()
        if letter not in _ESCAPES:
            self._fail("Invalid escape character in string.", start)
        self.at += 1
        return _ESCAPES[letter]

    def _hex(self, start: int) -> int:
        found = _HEX.match(self.text, self.at)
        if not found:
            self._fail("Incorrect hex digit after \\u escape in string.", start)
        self.at = found.end()
        return int(found[0], 16)

    def _number(self) -> int | float:
        start = self.at
        sign = -1 if self._consume("-") else 1
        if self._peek() == "N":
            self._rest_of("NaN")
            return float("nan")
        if self._peek() == "I":
            self._rest_of("Inf")
            if self._peek() == "i":
                self._rest_of("inity")
            return sign * float("inf")
        if not self._consume("0") and not self._match(_DIGITS):
            self._fail("Invalid value.")
        fractional = False
        if self._consume("."):
            fractional = True
            if not self._match(_DIGITS):
                self._fail("Miss fraction part in number.")
        if self._consume("e") or self._consume("E"):
            fractional = True
            if not self._consume("+"):
                self._consume("-")
            if not self._match(_DIGITS):
                self._fail("Miss exponent in number.")
        number = self.text[start : self.at]
        value = float(number)
        if value in (float("inf"), float("-inf")):
            self._fail("Number too big to be stored in double.", start)
        return value if fractional else int(number)

    def _rest_of(self, word: str) -> None:
        for letter in word:
            if not self._consume(letter):
                self._fail("Invalid value.")

    def _space(self) -> None:
        self._match(_SPACE)

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        assert found
        self.at = found.end()
        return found[0]

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _consume(self, letter: str) -> bool:
        matches = self._peek() == letter
        self.at += matches
        return matches

    def _fail(self, fault: str, at: int | None = None) -> NoReturn:
        offset = self.skipped + (self.at if at is None else at)
        raise invalid(f"JSON Parse error: {fault} at offset: {offset}")
