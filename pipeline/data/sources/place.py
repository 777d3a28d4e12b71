"""Place on the disk of a source that is named by a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.data.sources.video import EXTENSIONS as VIDEOS

IMAGE_FOLDER = "tfds:folder="


@dataclass(frozen=True)
class Place:
    """A folder or file, and how a source there is named.

    Args:
        path: Path of the folder or file, whether it is there or not.
        before: Text before the path.
        after: Text after it: a folder in a zip, a split, which frames of a video.
    """

    path: Path
    before: str = ""
    after: str = ""

    def at(self, path: Path) -> str:
        """The name of the same source at another path."""
        return f"{self.before}{path}{self.after}"


def place_of(spec: str, base: Path = Path()) -> Place | None:
    """The place of a source, None of one that is known by its name alone, such as `digits`.

    Args:
        spec: Spec as `open_source` takes it.
        base: Folder that a relative path is relative to.
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
