"""Find the file or folder of a source that is named by a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.data.sources.video import EXTENSIONS as VIDEOS

IMAGE_FOLDER = "tfds:folder="


@dataclass(frozen=True)
class Place:
    """Path in a source's name, and the text around it.

    Args:
        path: Path of the folder or file, which need not exist.
        before: Text before the path.
        after: Text after the path: a folder in a zip, a split, or a choice of a video's frames.
    """

    path: Path
    before: str = ""
    after: str = ""

    def at(self, path: Path) -> str:
        """Return the source's name with another path."""
        return f"{self.before}{path}{self.after}"


def place_of(spec: str, base: Path = Path()) -> Place | None:
    """Find the place of a source; None for one without a path, such as `digits`.

    Args:
        spec: Source as for `open_source`.
        base: Folder to resolve a relative path against.
    """
    if spec.startswith(IMAGE_FOLDER):
        return _with_split(spec.removeprefix(IMAGE_FOLDER), base)
    if spec == "digits" or spec.partition(":")[0] in ("glyphs", "tfds"):
        return None
    path = base / Path(spec).expanduser()
    if path.is_dir():
        return Place(path)
    for archive in (path, *path.parents):
        if archive.suffix.lower() == ".zip" and archive.is_file():
            inner = path.relative_to(archive).as_posix()
            return Place(archive, after="" if inner == "." else f"/{inner}")
    name, colon, every = path.name.partition(":")
    if name.lower().endswith(VIDEOS) and path.with_name(name).is_file():
        return Place(path.with_name(name), after=f"{colon}{every}")
    return Place(path)


def _with_split(spec: str, base: Path) -> Place:
    path = base / Path(spec).expanduser()
    if ":" not in spec or path.is_dir():
        return Place(path, IMAGE_FOLDER)
    name, _, split = spec.rpartition(":")
    return Place(base / Path(name).expanduser(), IMAGE_FOLDER, f":{split}")
