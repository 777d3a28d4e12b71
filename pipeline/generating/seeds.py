"""Parse options of `growgan generate`: ranges of seeds and layers, and lists of factors."""

from __future__ import annotations

import math
import re

from pipeline.errors import UserError

MAX_NUMBERS = 100_000


def parse_numbers(text: str, option: str = "--seeds") -> list[int]:
    """Parse numbers and ranges: `"0-3,8"` → `[0, 1, 2, 3, 8]`; `option` is for errors."""
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise UserError(f"`{option}` must be like 3, 0-15 or 0-7,20. Received: {text}")
        # Check before expanding the range: `0-999999999` would fill the memory.
        if len(numbers) + last - first >= MAX_NUMBERS:
            raise UserError(f"`{option}` must name at most {MAX_NUMBERS} numbers. Received: {text}")
        numbers += range(first, last + 1)
    return numbers


def parse_factors(text: str, option: str) -> list[float]:
    """Parse finite numbers: `"-0.5,0,1"` → `[-0.5, 0.0, 1.0]`; `option` is for errors."""
    try:
        factors = [float(part) for part in text.split(",")]
    except ValueError:
        factors = [math.nan]
    if not all(map(math.isfinite, factors)):
        raise UserError(f"`{option}` must be numbers such as 0.7 or 0,0.5,1. Received: {text}")
    return factors
