"""Open a source of pictures by its name or path, with the reader for its kind.

Checking, preparing and training use it; the table in docs/data.md lists the kinds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.data.sources.archive import open_archive
from pipeline.data.sources.cifar import open_cifar
from pipeline.data.sources.folder import open_folder, open_image_folder
from pipeline.data.sources.idx import idx_images_in, open_idx
from pipeline.data.sources.numpy_files import open_numpy
from pipeline.data.sources.source import Picture, Source
from pipeline.data.sources.tfrecords import find_tfrecords, is_official, open_tfrecords
from pipeline.data.sources.video import open_video
from pipeline.errors import UserError

__all__ = ["Picture", "Place", "Source", "open_source", "place_of"]

IMAGE_FOLDER = "tfds:folder="
"""Prefix of a source's name, before the path of a folder in `tfds.ImageFolder`'s layout."""
VIDEOS = (".avi", ".mkv", ".mov", ".mp4", ".webm")


@dataclass(frozen=True)
class Place:
    """Path within a source's name, and the text around it, to open a copy elsewhere."""

    path: Path  # Path of the folder or file, which need not exist
    before: str = ""  # Text before the path: `tfds:folder=` or nothing
    after: str = ""  # Text after the path: `/FOLDER` in a zip, `:SPLIT`, or `:N` of a video

    def with_path(self, path: Path) -> str:
        """Return the source's name with another path in place of this one."""
        return f"{self.before}{path}{self.after}"


def open_source(spec: str) -> Source:
    """Open the source with a name or path; docs/data.md has a table of them.

    A path that is also a name, such as a folder `digits`, needs `./` before it.

    Raises:
        UserError: if there is no such source, or it holds no pictures.

    Example:
        >>> len(open_source("digits"))
        1797
    """
    kind, _, rest = spec.partition(":")
    # Import scikit-learn, matplotlib and TensorFlow Datasets only for their sources: it takes a
    # while. None of the three imports TensorFlow.
    if spec == "digits":
        from pipeline.data.sources.digits import open_digits

        return open_digits()
    if kind == "glyphs":
        from pipeline.data.sources.glyphs import open_glyphs

        return open_glyphs(rest)
    place = place_of(spec)
    if place is None:
        from pipeline.data.sources.tfds import open_tfds

        return open_tfds(rest)
    if place.before:
        return open_image_folder(place.path, place.after.removeprefix(":") or "train")
    source = _open_folder(place.path) if place.path.is_dir() else _open_file(place)
    if source is None:
        raise UserError(
            "`data.source` must be `digits`, `glyphs`, `tfds:` and a name, or the path of a folder "
            "or zip of pictures, of idx files, CIFAR batches or official TFRecords, of an .npy or "
            f".npz file, or of a video ({' '.join(VIDEOS)}). Received: {spec!r}, "
            f"{'another kind of file' if place.path.exists() else 'which does not exist'}"
        )
    return source


def place_of(spec: str, base: Path = Path()) -> Place | None:
    """Split a source's name around its path, relative to `base`; None for a name without a path."""
    if spec.startswith(IMAGE_FOLDER):
        return _image_folder_place(spec.removeprefix(IMAGE_FOLDER), base)
    if spec == "digits" or spec.partition(":")[0] in ("glyphs", "tfds"):
        return None
    path = base / Path(spec).expanduser()
    if path.is_dir():
        return Place(path)
    # Look for a zip among the parents: the path may lead to a folder within the zip.
    for archive in (path, *path.parents):
        if archive.suffix.lower() == ".zip" and archive.is_file():
            inner = path.relative_to(archive).as_posix()
            return Place(archive, after="" if inner == "." else f"/{inner}")
    name, colon, every = path.name.partition(":")
    if name.lower().endswith(VIDEOS) and path.with_name(name).is_file():
        return Place(path.with_name(name), after=f"{colon}{every}")
    return Place(path)


def _image_folder_place(spec: str, base: Path) -> Place:
    path = base / Path(spec).expanduser()
    # Check for a folder first: its own name may hold a colon.
    if ":" not in spec or path.is_dir():
        return Place(path, IMAGE_FOLDER)
    name, _, split = spec.rpartition(":")
    return Place(base / Path(name).expanduser(), IMAGE_FOLDER, f":{split}")


def _open_folder(path: Path) -> Source:
    if images := idx_images_in(path):
        return open_idx(images)
    if tfrecords := find_tfrecords(path):
        return open_tfrecords(tfrecords)
    cifar = open_cifar(path)
    # Try picture files last: `open_folder` raises for a folder without any.
    return open_folder(path) if cifar is None else cifar


def _open_file(place: Place) -> Source | None:
    path = place.path
    if not path.is_file():
        return None
    if path.suffix.lower() == ".zip":
        return open_archive(path, place.after.removeprefix("/"))
    if path.name.lower().endswith(VIDEOS):
        return open_video(path, place.after.removeprefix(":"))
    if "images-idx3-ubyte" in path.name:
        return open_idx(path)
    if path.suffix.lower() in (".npy", ".npz"):
        return open_numpy(path)
    if is_official(path):
        return open_tfrecords(path)
    return open_cifar(path)
