"""Snapshots of a project's sources: copies of the pictures at one time, named by content hash.

Files are stored once by content in `snapshots/store`; snapshots hold hard links to them. A run
trains on one snapshot, so pictures that arrive meanwhile do not change its data.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from pipeline.data.sources import open_source
from pipeline.data.sources.files import EXTENSIONS, is_hidden, is_picture
from pipeline.data.sources.folder import walk
from pipeline.errors import UserError
from pipeline.evaluation.scores import JsonRecord, fault_of
from pipeline.orchestration.project import Project
from savedmodels import atomic
from savedmodels.locks import hold

SNAPSHOT = "snapshot.json"
PICTURES = "pictures"
KNOWN = "known.json"
"""Cache of the hashes of source files, so that unchanged files are not read again."""
STORE = "store"
SHORT = 12
"""Hex digits of a hash in names: two given hashes share them with a probability of 1 in 2^48."""


class Snapshot(JsonRecord):
    """Content of `snapshot.json`: which pictures the sources held at one time."""

    content_hash: str
    """SHA-256 of the files' names and content; without files, of the source's name."""
    source: str
    """Source as `growgan train --data` takes it; its path, if any, is in the snapshot's folder."""
    images: int
    """Number of pictures."""
    files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of each file by its name; empty for a source without a path, such as `digits`."""

    @property
    def key(self) -> str:
        """Name of the snapshot's folder."""
        return self.content_hash[:SHORT]

    def new_since(self, former: Snapshot | None) -> int:
        """Count the pictures whose content is not in a former snapshot."""
        if former is None:
            return self.images
        if not any(map(is_picture, self.files)):  # A zip or other single file is new as a whole.
            return self.images if self.content_hash != former.content_hash else 0
        old = set(former.files.values())
        return sum(sha not in old for name, sha in self.files.items() if is_picture(name))


@dataclass(frozen=True)
class FoundFile:
    """File in a source, as the file system lists it."""

    path: Path
    size: int  # Size in bytes.
    modified: int  # Time of the last change, in nanoseconds.

    @property
    def state(self) -> list[Any]:
        """Path, size and time, which show without reading the file whether it has changed."""
        return [str(self.path), self.size, self.modified]  # A list, to compare with one from JSON.


def list_files(project: Project) -> dict[str, FoundFile]:
    """List the files in the sources by relative name, as `growgan train --data` finds them.

    Raises:
        UserError: if two folders hold files of the same name, or a link leads nowhere.
        OSError: if a folder cannot be read.
    """
    # Open no file, so that triggers can check large sources often.
    files: dict[str, FoundFile] = {}
    for place in project.places():
        for name, path in _files_at(place.path):
            if name in files:
                raise UserError(
                    "several `sources` must not hold files of the same name. "
                    f"Received: {files[name].path} and {path}"
                )
            try:
                stat = path.stat()
            except FileNotFoundError:
                if path.is_symlink():
                    raise UserError(
                        f"a link in `sources` must lead to an existing file. Received: {path}"
                    ) from None
                continue  # The file was removed since the folder was listed.
            files[name] = FoundFile(path, stat.st_size, stat.st_mtime_ns)
    return dict(sorted(files.items()))


def fingerprint(project: Project, files: Mapping[str, FoundFile]) -> str:
    """Return a hash that changes when a file is added, removed or changed, or `sources` is."""
    states = [[name, *found.state] for name, found in files.items()]
    text = json.dumps([project.config.sources, states])
    return hashlib.sha256(text.encode()).hexdigest()


def max_new_pictures(
    project: Project, files: Mapping[str, FoundFile], former: Snapshot | None
) -> int:
    """Return an upper bound of the number of found pictures that a former snapshot lacks."""
    # Count a file without a cached hash as new: to open and hash it here would take long.
    cache, old = _read_cache(project), set() if former is None else set(former.files.values())
    return sum(
        _cached_hash(cache, name, found) not in old
        for name, found in files.items()
        if is_picture(name)
    )


def all_unchanged(project: Project, files: Mapping[str, FoundFile], former: Snapshot) -> bool:
    """Return whether all files of a snapshot are still in the sources, without opening any.

    A file that changed, or whose hash is not cached, counts as missing.
    """
    cache = _read_cache(project)
    found_hashes = {(name, _cached_hash(cache, name, found)) for name, found in files.items()}
    return former.files.items() <= found_hashes


def take(project: Project) -> Snapshot:
    """Copy the pictures now in the sources into a snapshot, or find the one with this content.

    Raises:
        UserError: if there are no pictures.
        OSError: if one cannot be read, or the disk is full; no partial snapshot is left behind.
    """
    with hold(project.snapshots / ".lock"):
        atomic.remove_remains(project.snapshots, deep=False)
        return _take(project)


def is_kept(project: Project, key: str) -> bool:
    """Return whether a snapshot of this name exists."""
    return (project.snapshots / key / SNAPSHOT).is_file()


def kept_snapshot(project: Project, content_hash: str) -> Snapshot | None:
    """Read the snapshot with a content hash, None if it was removed."""
    key = content_hash[:SHORT]
    return snapshot_of(project, key) if is_kept(project, key) else None


def _take(project: Project) -> Snapshot:
    places = project.places()
    if not places:
        return _take_without_files(project, *project.config.sources)
    files = _store_files(project, list_files(project))
    first, *more = places
    images = sum(map(is_picture, files))
    special = not images or bool(first.before)  # One file such as a zip, or idx files or splits.
    if not files or (more and special):
        raise UserError(
            f"`sources` must hold pictures ({' '.join(EXTENSIONS)}). "
            f"Received: {', '.join(str(place.path) for place in places)}, with none"
        )
    # Hash also which part of a source is read, such as `train` in a zip.
    part = [first.before, first.after] if first.before or first.after else []
    content = hashlib.sha256(json.dumps([*part, files] if part else files).encode()).hexdigest()
    folder = project.snapshots / content[:SHORT]
    if not is_kept(project, folder.name):
        if folder.exists():
            shutil.rmtree(folder)
        with atomic.new_folder(folder) as temporary:
            for name, sha in files.items():
                link = temporary / PICTURES / name
                link.parent.mkdir(parents=True, exist_ok=True)
                _link(project.snapshots / STORE / sha, link)
            inside = Path(PICTURES) / (first.path.name if first.path.is_file() else "")
            if special:
                images = len(open_source(first.with_path(temporary / inside)))
            source = first.with_path(folder / inside)
            snapshot = Snapshot(content_hash=content, source=source, images=images, files=files)
            (temporary / SNAPSHOT).write_text(snapshot.model_dump_json(indent=2) + "\n")
    return snapshot_of(project, content[:SHORT])


def snapshot_of(project: Project, key: str) -> Snapshot:
    """Read the snapshot of a name.

    Raises:
        UserError: if there is none, or it is damaged.
    """
    file = project.snapshots / key / SNAPSHOT
    try:
        return Snapshot.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(
            f"a snapshot must be one that the pipeline took. Received: {file}, {fault_of(error)}"
        ) from error


def _take_without_files(project: Project, source: str) -> Snapshot:
    """Write the snapshot of a source without a path, such as `digits` or `tfds:mnist`."""
    # Hash the name: such a source never changes, so its name identifies its content.
    content = hashlib.sha256(json.dumps(["name", source]).encode()).hexdigest()
    folder = project.snapshots / content[:SHORT]
    if not is_kept(project, folder.name):
        snapshot = Snapshot(content_hash=content, source=source, images=len(open_source(source)))
        atomic.make_folder(folder)
        atomic.write_file(folder / SNAPSHOT, snapshot.model_dump_json(indent=2) + "\n")
    return snapshot_of(project, content[:SHORT])


def _store_files(project: Project, files: Mapping[str, FoundFile]) -> dict[str, str]:
    """Copy every file into the store, and return the SHA-256 of each by its name."""
    store, cache = project.snapshots / STORE, _read_cache(project)
    atomic.make_folder(store)
    atomic.remove_remains(store, deep=False)
    hashes: dict[str, str] = {}
    states: dict[str, Any] = {}
    try:
        for name, found in files.items():
            sha = _cached_hash(cache, name, found)
            if sha is None or not (store / sha).exists():  # A user may have cleared the store.
                sha = _copy_to_store(found.path, store)
            hashes[name] = sha
            states[name] = [*found.state, hashes[name]]
        cache = {}  # All files were hashed: drop the cached hashes of files that are gone.
    finally:  # Save the cache even after a failure: the next attempt need not hash again.
        atomic.sync(store)
        atomic.write_file(project.snapshots / KNOWN, json.dumps({**cache, **states}))
    return hashes


def _read_cache(project: Project) -> dict[str, list[Any]]:
    """Read by file name the file's state when it was hashed, followed by its hash."""
    file = project.snapshots / KNOWN
    cache: dict[str, list[Any]] = json.loads(file.read_text()) if file.exists() else {}
    return cache


def _cached_hash(cache: Mapping[str, list[Any]], name: str, found: FoundFile) -> str | None:
    """Return the cached hash of a file, None if there is none or the file changed since."""
    *state, sha = cache.get(name, [None])
    return sha if state == found.state else None


def _link(stored: Path, link: Path) -> None:
    try:
        os.link(stored, link)
    except OSError as error:
        if error.errno != errno.EMLINK:
            raise
        # Replace the stored file by a fresh copy: ext4 allows at most 65,000 hard links per file.
        _copy_to_store(stored, stored.parent)
        os.link(stored, link)


def _copy_to_store(path: Path, store: Path) -> str:
    """Copy a file into the store, name the copy by its SHA-256, and return that hash."""
    temporary = store / f".copy.{os.urandom(4).hex()}.tmp"
    try:
        # Hash the copy: the source file may change between copying and hashing.
        shutil.copyfile(path, temporary)
        with temporary.open("rb") as copied:
            sha = hashlib.file_digest(copied, "sha256").hexdigest()
        # Wait for the disk before the rename: later, a file of this name is taken as complete.
        atomic.sync(temporary)
        os.replace(temporary, store / sha)
    finally:
        temporary.unlink(missing_ok=True)
    return sha


def _files_at(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield the names and paths of the files below a folder, or of a single file."""
    if path.is_file():
        yield path.name, path
        return
    for name in sorted(walk(path)):
        if not is_hidden(name):
            yield name, path / name
