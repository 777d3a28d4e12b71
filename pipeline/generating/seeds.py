"""Parsers of numbers in options: ranges of seeds and layers, lists of factors."""

from __future__ import annotations

import math
import re

from pipeline.errors import UserError

MOST_SEEDS = 100_000


def parse_numbers(text: str, option: str = "--seeds") -> list[int]:
    """Parse numbers and ranges: `"0-3,8"` → `[0, 1, 2, 3, 8]`."""
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise UserError(f"`{option}` must be like 3, 0-15 or 0-7,20. Received: {text}")
        # Before the range is expanded: `0-999999999` would fill the memory.
        if len(numbers) + last - first >= MOST_SEEDS:
            raise UserError(f"`{option}` must name at most {MOST_SEEDS}. Received: {text}")
        numbers += range(first, last + 1)
    return numbers


def parse_shares(text: str, option: str) -> list[float]:
    """Parse finite numbers: `"-0.5,0,1"` → `[-0.5, 0.0, 1.0]`."""
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = [math.nan]
    if not all(map(math.isfinite, shares)):
        raise UserError(f"`{option}` must be numbers such as 0.7 or 0,0.5,1. Received: {text}")
    return shares
