"""Snapshots: the pictures in the sources at one time, kept under a hash of their content."""

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
STORE = "store"
SHORT = 12
"""Digits of a hash in names: two of them agree once in 2^48."""


class Snapshot(JsonRecord):
    """Pictures in the sources at one time."""

    content_hash: str
    """SHA-256 of names and content."""
    source: str
    """Source as `growgan train --data` takes it; a folder or file is inside the project."""
    images: int
    files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of each file by its name; empty for a source known by its name alone."""

    @property
    def key(self) -> str:
        """Name of the snapshot."""
        return self.content_hash[:SHORT]

    def new_since(self, former: Snapshot | None) -> int:
        """Count the pictures, by content, that another snapshot lacks."""
        if former is None:
            return self.images
        if not any(map(is_picture, self.files)):  # A zip or the like is new as a whole.
            return self.images if self.content_hash != former.content_hash else 0
        had = set(former.files.values())
        return sum(sha not in had for name, sha in self.files.items() if is_picture(name))


@dataclass(frozen=True)
class Found:
    """File in a source, as the file system lists it."""

    path: Path
    size: int
    modified: int
    """Time of the last change, in nanoseconds."""

    @property
    def state(self) -> list[Any]:
        """Path, size and time, one of which changes when the file does."""
        return [str(self.path), self.size, self.modified]  # A list, as JSON gives it back.


def list_files(project: Project) -> dict[str, Found]:
    """List the files in the sources by name, by the rules of `growgan train --data`.

    Raises:
        UserError: if two folders hold files of the same name, or a link leads nowhere.
        OSError: if a folder cannot be read.
    """
    # Opens nothing, so triggers may look often however large the pictures are.
    files: dict[str, Found] = {}
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
                        f"a link in `sources` must lead to something. Received: {path}"
                    ) from None
                continue  # Removed since the folder was listed.
            files[name] = Found(path, stat.st_size, stat.st_mtime_ns)
    return dict(sorted(files.items()))


def fingerprint(project: Project, files: Mapping[str, Found]) -> str:
    """Return a digest that changes when a file comes, goes or changes, or `sources` do."""
    states = [[name, *found.state] for name, found in files.items()]
    text = json.dumps([project.config.sources, states])
    return hashlib.sha256(text.encode()).hexdigest()


def most_new(project: Project, files: Mapping[str, Found], former: Snapshot | None) -> int:
    """Bound from above the number of found pictures that another snapshot lacks."""
    # A file without a known hash may be new: opening it to find out would take long.
    known, had = _known(project), set() if former is None else set(former.files.values())
    return sum(
        _hash_known(known, name, found) not in had
        for name, found in files.items()
        if is_picture(name)
    )


def all_known(project: Project, files: Mapping[str, Found], former: Snapshot) -> bool:
    """Return whether every file of a snapshot is still there unchanged, without opening any."""
    known = _known(project)
    there = {(name, _hash_known(known, name, found)) for name, found in files.items()}
    return former.files.items() <= there


def take_snapshot(project: Project) -> Snapshot:
    """Keep the pictures that are in the sources now; the same content is kept once.

    Raises:
        UserError: if there are no pictures.
        OSError: if one cannot be read, or there is no room; no part of a snapshot is left.
    """
    with hold(project.snapshots / ".lock"):
        atomic.remove_remains(project.snapshots, deep=False)
        return _taken(project)


def is_kept(project: Project, key: str) -> bool:
    """Return whether a snapshot of that name is there."""
    return (project.snapshots / key / SNAPSHOT).is_file()


def kept_snapshot(project: Project, content_hash: str) -> Snapshot | None:
    """Read the snapshot of a content, None if it was removed."""
    key = content_hash[:SHORT]
    return snapshot_of(project, key) if is_kept(project, key) else None


def _taken(project: Project) -> Snapshot:
    places = project.places()
    if not places:
        return _named(project, *project.config.sources)
    files = _kept(project, list_files(project))
    first, *more = places
    images = sum(map(is_picture, files))
    other = not images or bool(first.before)  # One file, or a folder of idx files or splits.
    if not files or (more and other):
        raise UserError(
            f"`sources` must hold pictures ({' '.join(EXTENSIONS)}). "
            f"Received: {', '.join(str(place.path) for place in places)}, with none"
        )
    # The part of a set that is read, such as `train` of a zip, decides the pictures too.
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
            if other:
                images = len(open_source(first.at(temporary / inside)))
            source = first.at(folder / inside)
            snapshot = Snapshot(content_hash=content, source=source, images=images, files=files)
            (temporary / SNAPSHOT).write_text(snapshot.model_dump_json(indent=2) + "\n")
    return snapshot_of(project, content[:SHORT])


def snapshot_of(project: Project, key: str) -> Snapshot:
    """Read a snapshot.

    Raises:
        UserError: if there is none of that name, or it is damaged.
    """
    file = project.snapshots / key / SNAPSHOT
    try:
        return Snapshot.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(
            f"a snapshot must be one that the pipeline took. Received: {file}, {fault_of(error)}"
        ) from error


def _named(project: Project, source: str) -> Snapshot:
    """Keep the snapshot of a source known by its name alone, such as `digits`."""
    # Such a source never changes, so its name identifies its content.
    content = hashlib.sha256(json.dumps(["name", source]).encode()).hexdigest()
    folder = project.snapshots / content[:SHORT]
    if not is_kept(project, folder.name):
        snapshot = Snapshot(content_hash=content, source=source, images=len(open_source(source)))
        atomic.make_folder(folder)
        atomic.write_file(folder / SNAPSHOT, snapshot.model_dump_json(indent=2) + "\n")
    return snapshot_of(project, content[:SHORT])


def _kept(project: Project, files: Mapping[str, Found]) -> dict[str, str]:
    """Put every file into the store, and return the SHA-256 of each by its name."""
    store, known = project.snapshots / STORE, _known(project)
    atomic.make_folder(store)
    atomic.remove_remains(store, deep=False)
    hashes: dict[str, str] = {}
    states: dict[str, Any] = {}
    try:
        for name, found in files.items():
            sha = _hash_known(known, name, found)
            if sha is None or not (store / sha).exists():  # A user may clear the store.
                sha = _copied(found.path, store)
            hashes[name] = sha
            states[name] = [*found.state, hashes[name]]
        known = {}  # Forget files that are gone, once all that are there were seen.
    finally:  # After a failure, the next attempt need not hash these files again.
        atomic.sync(store)
        atomic.write_file(project.snapshots / KNOWN, json.dumps({**known, **states}))
    return hashes


def _known(project: Project) -> dict[str, list[Any]]:
    """Read the states of files when they were hashed, and their hashes, by name."""
    file = project.snapshots / KNOWN
    known: dict[str, list[Any]] = json.loads(file.read_text()) if file.exists() else {}
    return known


def _hash_known(known: Mapping[str, list[Any]], name: str, found: Found) -> str | None:
    """Return the hash of a file, None if it changed since it was hashed, or never was."""
    *state, sha = known.get(name, [None])
    return sha if state == found.state else None


def _link(stored: Path, link: Path) -> None:
    try:
        os.link(stored, link)
    except OSError as error:
        if error.errno != errno.EMLINK:
            raise
        # A file has at most 65,000 names on ext4: link further ones to a new copy.
        _copied(stored, stored.parent)
        os.link(stored, link)


def _copied(path: Path, store: Path) -> str:
    """Copy a file into the store, under the hash of what was copied."""
    temporary = store / f".copy.{os.urandom(4).hex()}.tmp"
    try:
        # Hash the copy, not the source, which may change meanwhile.
        shutil.copyfile(path, temporary)
        with temporary.open("rb") as copied:
            sha = hashlib.file_digest(copied, "sha256").hexdigest()
        # By its name, nobody reads it again to check it: it must be whole on the disk.
        atomic.sync(temporary)
        os.replace(temporary, store / sha)
    finally:
        temporary.unlink(missing_ok=True)
    return sha


def _files_at(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield a file, or the files below a folder by their names in it."""
    if path.is_file():
        yield path.name, path
        return
    for name in sorted(walk(path)):
        if not is_hidden(name):
            yield name, path / name
