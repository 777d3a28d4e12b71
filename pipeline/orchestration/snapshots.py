"""What lies in the sources at one moment: found, known by its content, and kept."""

from __future__ import annotations

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
from pipeline.data.sources.files import EXTENSIONS
from pipeline.errors import UserError
from pipeline.evaluation.scores import Record, fault_of
from pipeline.orchestration.locks import held
from pipeline.orchestration.project import Project
from savedmodels import atomic

SNAPSHOT = "snapshot.json"
PICTURES = "pictures"
KNOWN = "known.json"
STORE = "store"
SHORT = 12
"""Digits of a hash in names: one in 2^48 coincides."""


class Snapshot(Record):
    """What lay in the sources."""

    content_hash: str
    """SHA-256 of names and content."""
    source: str
    """As `growgan train --data` takes it; a folder or file is one inside the project."""
    images: int
    """How many pictures there are."""
    files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 by name, of what folders held."""

    @property
    def key(self) -> str:
        """Names it."""
        return self.content_hash[:SHORT]

    def new_since(self, former: Snapshot | None) -> int:
        """How many of its pictures another one has not, by their content."""
        if former is None:
            return self.images
        if not self.files:
            return self.images if self.content_hash != former.content_hash else 0
        had = set(former.files.values())
        return sum(sha not in had for name, sha in self.files.items() if _is_picture(name))


@dataclass(frozen=True)
class Found:
    """A file in a source, as the file system tells of it."""

    path: Path
    size: int
    modified: int
    """In nanoseconds."""

    @property
    def state(self) -> list[Any]:
        """What changes when the file does."""
        return [str(self.path), self.size, self.modified]


def found_in(project: Project) -> dict[str, Found]:
    """What lies in the sources, by name; hidden files do not count, nor do links to folders.

    Nothing is opened, so it is quick however large the pictures are.

    Raises:
        UserError: if two folders hold something of the same name.
        OSError: if a folder cannot be read.
    """
    source = project.source()
    if isinstance(source, str):
        path = Path(source)
        return {path.name: _found(path)} if path.is_file() else {}
    files: dict[str, Found] = {}
    for folder in source:
        for path in _files_below(folder):
            name = path.relative_to(folder).as_posix()
            if name in files:
                raise UserError(
                    "several `sources` must not hold files of the same name. "
                    f"Received: {files[name].path} and {path}"
                )
            try:
                files[name] = _found(path)
            except FileNotFoundError:  # Taken away in the meantime.
                continue
    return dict(sorted(files.items()))


def fingerprint(files: Mapping[str, Found]) -> str:
    """Changes whenever a file comes, goes or changes."""
    text = json.dumps([[name, *found.state] for name, found in files.items()])
    return hashlib.sha256(text.encode()).hexdigest()


def take(project: Project) -> Snapshot:
    """Keep what lies in the sources now; a snapshot of the same content is not kept twice.

    Files are copied once each, under their hash, and linked from there into every snapshot that
    has them: what happens in the sources afterwards changes nothing.

    Raises:
        UserError: if there are no pictures.
        OSError: if one cannot be read, or there is no room; no part of a snapshot is left.
    """
    with held(project.snapshots / ".lock"):
        return _taken(project)


def _taken(project: Project) -> Snapshot:
    source = project.source()
    if isinstance(source, str) and not Path(source).is_file():
        return _named(project, source)
    files = _kept(project, found_in(project))
    images = sum(map(_is_picture, files))
    if not images and not isinstance(source, str):
        raise UserError(
            f"`sources` must hold pictures ({' '.join(EXTENSIONS)}). "
            f"Received: {', '.join(map(str, source))}, with none"
        )
    content = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    folder = project.snapshots / content[:SHORT]
    if not (folder / SNAPSHOT).is_file():
        if folder.exists():
            shutil.rmtree(folder)
        with atomic.new_folder(folder) as temporary:
            for name, sha in files.items():
                link = temporary / PICTURES / name
                link.parent.mkdir(parents=True, exist_ok=True)
                os.link(project.snapshots / STORE / sha, link)
            taken = str(folder / PICTURES)
            if isinstance(source, str):
                taken = str(folder / PICTURES / Path(source).name)
                images = len(open_source(str(temporary / PICTURES / Path(source).name)))
            snapshot = Snapshot(content_hash=content, source=taken, images=images, files=files)
            (temporary / SNAPSHOT).write_text(snapshot.model_dump_json(indent=2) + "\n")
    return snapshot_of(project, content[:SHORT])


def snapshot_of(project: Project, key: str) -> Snapshot:
    """A snapshot that was taken.

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
    """Of a source that is known by its name alone, such as `digits`: it never changes."""
    content = hashlib.sha256(json.dumps(["name", source]).encode()).hexdigest()
    folder = project.snapshots / content[:SHORT]
    if not (folder / SNAPSHOT).is_file():
        snapshot = Snapshot(content_hash=content, source=source, images=len(open_source(source)))
        folder.mkdir(parents=True, exist_ok=True)
        atomic.write_file(folder / SNAPSHOT, snapshot.model_dump_json(indent=2) + "\n")
    return snapshot_of(project, content[:SHORT])


def _kept(project: Project, files: Mapping[str, Found]) -> dict[str, str]:
    """SHA-256 of every file by name, once each is in the store."""
    store, known_file = project.snapshots / STORE, project.snapshots / KNOWN
    store.mkdir(parents=True, exist_ok=True)
    atomic.remove_remains(store, deep=False)
    known: dict[str, Any] = json.loads(known_file.read_text()) if known_file.exists() else {}
    hashes: dict[str, str] = {}
    states: dict[str, Any] = {}
    try:
        for name, found in files.items():
            before = known.get(name)
            if before and before[:-1] == found.state and (store / before[-1]).exists():
                hashes[name] = before[-1]
            else:
                hashes[name] = _copied(found.path, store)
            states[name] = [*found.state, hashes[name]]
    finally:  # What was hashed before something failed is not hashed again.
        atomic.sync(store)
        atomic.write_file(known_file, json.dumps({**known, **states} if states else known))
    return hashes


def _copied(path: Path, store: Path) -> str:
    """Copy a file into the store, under the hash of what was copied."""
    temporary = store / f".copy.{os.urandom(4).hex()}.tmp"
    try:
        shutil.copyfile(path, temporary)
        with temporary.open("rb") as copied:
            sha = hashlib.file_digest(copied, "sha256").hexdigest()
        atomic.sync(temporary)  # Its name will vouch for it.
        os.replace(temporary, store / sha)
    finally:
        temporary.unlink(missing_ok=True)
    return sha


def _files_below(folder: Path) -> Iterator[Path]:
    for above, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(above) / name


def _found(path: Path) -> Found:
    stat = path.stat()
    return Found(path, stat.st_size, stat.st_mtime_ns)


def _is_picture(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)
