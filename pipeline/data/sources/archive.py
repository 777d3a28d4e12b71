"""Source of picture files in a zip, read without extracting the zip."""

from __future__ import annotations

import posixpath
import stat
import struct
import zipfile
import zlib
from functools import partial
from pathlib import Path

from pipeline.data.sources.files import files_source
from pipeline.data.sources.reason import as_user_error
from pipeline.data.sources.source import Source
from pipeline.errors import UserError

_UNREADABLE = (OSError, zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, EOFError)
"""Errors of `zipfile` for a file that is not a zip, is damaged, or needs a newer zip version."""
LARGEST_ENTRY = 256 * 2**20
"""Maximum size of a decompressed entry, in bytes; a larger one counts as a corrupt picture."""


def open_archive(path: Path, inner: str = "") -> Source:
    """Open the pictures in a zip, or in its folder `inner`.

    Labels come from a labels file or class folders, as in a folder. Inner zips are not opened.

    Raises:
        UserError: if the file is not a zip, an entry's name is absolute or contains `..`, an entry
            is a link, there is no picture, or labels or class folders are wrong.
    """
    with as_user_error("a zip must be readable", path, *_UNREADABLE):
        archive = zipfile.ZipFile(path)
    root = f"{inner}/" if inner else ""
    entries = {}
    for info in archive.infolist():
        name = info.filename.replace("\\", "/")
        if name.startswith("/") or name[1:2] == ":" or ".." in name.split("/"):
            raise UserError(
                "a zip's entries must have relative names without `..`. "
                f"Received: {info.filename!r} in {path}"
            )
        # Refuse links: one could point to any file of this machine.
        if stat.S_ISLNK(info.external_attr >> 16):
            raise UserError(
                f"a zip must not hold symbolic links. Received: {info.filename!r} in {path}"
            )
        # Remove the `./` that `tar -a` on Windows and macOS writes before names.
        name = posixpath.normpath(name)
        if name.startswith(root) and not info.is_dir():
            entries[name.removeprefix(root)] = info
    source_name = "-".join([path.stem, *inner.split("/")]) if inner else path.stem
    place = f"{path}/{inner}" if inner else str(path)
    return files_source(source_name, place, entries, partial(_read_entry, archive, entries))


def _read_entry(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], name: str) -> bytes:
    info = entries[name]
    # Check only the size stated in the header: `zipfile` never decompresses more than that.
    if info.file_size > LARGEST_ENTRY:
        raise OSError(f"unpacks to {info.file_size} bytes, more than {LARGEST_ENTRY}")
    try:
        return archive.read(info)
    # In this order: wrong checksum; password or unknown compression; broken stream; file cut off.
    except (zipfile.BadZipFile, RuntimeError, zlib.error, EOFError) as error:
        raise OSError(str(error)) from error
