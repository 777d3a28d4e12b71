"""Links by which a folder would hold what is not its own."""

from __future__ import annotations

from pathlib import Path


def link_out_of(folder: Path) -> Path | None:
    """A link below a folder to another folder, which `rglob` passes over, or to a file outside."""
    whole = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and (path.is_dir() or not path.resolve().is_relative_to(whole)):
            return path
    return None
