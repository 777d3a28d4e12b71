"""Where pictures come from: one small reader for each kind of source, and the choice among them."""

from __future__ import annotations

from pathlib import Path

from pipeline.data.sources.archive import open_archive
from pipeline.data.sources.digits import open_digits
from pipeline.data.sources.folder import open_folder
from pipeline.data.sources.idx import idx_images_in, open_idx
from pipeline.data.sources.source import Picture, Source
from pipeline.errors import UserError

__all__ = ["Picture", "Source", "open_source"]


def open_source(spec: str) -> Source:
    """The source that a name or path means.

    Args:
        spec: `digits`; or the path of a folder of pictures, a zip of pictures, a folder in a zip
            (`cifar10.zip/train`), a folder of MNIST's idx files (its training set), or one idx file
            of images. A folder called `digits` is `./digits`.

    Raises:
        UserError: if there is no such source, or it holds no pictures.

    Example:
        >>> len(open_source("digits"))
        1797
    """
    if spec == "digits":
        return open_digits()
    path = Path(spec).expanduser()
    if path.is_dir():
        images = idx_images_in(path)
        return open_idx(images) if images else open_folder(path)
    for archive in (path, *path.parents):
        if archive.suffix.lower() == ".zip" and archive.is_file():
            inner = path.relative_to(archive).as_posix()
            return open_archive(archive, "" if inner == "." else inner)
    if path.is_file() and "images-idx3-ubyte" in path.name:
        return open_idx(path)
    raise UserError(
        "`data.source` must be `digits` or the path of a folder, a zip or an idx file of images. "
        f"Received: {spec!r}, {'another kind of file' if path.exists() else 'which does not exist'}"
    )
