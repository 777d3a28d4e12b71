"""Check for symbolic links: a published or verified SavedModel must hold its files itself."""

from __future__ import annotations

from pathlib import Path


def link_out_of(folder: Path) -> Path | None:
    """Find a link in a folder that leads to a file outside or to any folder; None without one."""
    root = folder.resolve()
    for path in folder.rglob("*"):
        # Report a link to a folder wherever it leads: `rglob` does not check what is behind it.
        if path.is_symlink() and (path.is_dir() or not path.resolve().is_relative_to(root)):
            return path
    return None
