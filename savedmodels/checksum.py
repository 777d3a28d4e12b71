"""Checksum of a file, which shows whether its content changed."""

from __future__ import annotations

import hashlib
from pathlib import Path


def checksum(file: Path) -> str:
    """Compute the SHA-256 of a file, in hex."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
