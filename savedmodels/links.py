"""Find symbolic links that lead out of a folder."""

from __future__ import annotations

from pathlib import Path


def link_out_of(folder: Path) -> Path | None:
    """Find a link in a folder that leads to any folder, or to a file outside; None if none does."""
    whole = folder.resolve()
    for path in folder.rglob("*"):
        # Links to folders are refused wherever they lead, because `rglob` does not follow them.
        if path.is_symlink() and (path.is_dir() or not path.resolve().is_relative_to(whole)):
            return path
    return None
