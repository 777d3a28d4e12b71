"""Folders of a model's versions, each a SavedModel with a manifest: list, hash, add and read."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from savedmodels import atomic
from savedmodels.checksum import checksum
from savedmodels.layout import LINEAGE, PUBLICATION
from savedmodels.links import link_out_of
from savedmodels.repository.errors import RepositoryError

SCHEMA = 1  # Version of the manifest's format.
# Leave out of the content hash what differs between exports of one checkpoint: the lineage holds a
# time, the fingerprint a random identifier. Names in a graph still depend on what its process built
# before, so hashes agree only between exports of processes that did the same.
_NOT_SERVED = frozenset({LINEAGE.as_posix(), "fingerprint.pb"})


@dataclass(frozen=True)
class Gate:
    """Decision of the quality gate (`growgan gate`) on a version, and its reasons."""

    passed: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class About:
    """Facts about a version that its SavedModel does not hold; None for unknown ones."""

    config: Mapping[str, Any] | None = None  # Configuration of the run that made the version.
    evaluation: Mapping[str, Any] | None = None
    """Scores of the version, with the features and protocol of the evaluation."""
    gate: Gate | None = None


@dataclass(frozen=True)
class Publication:
    """Manifest of a published version, in `publication.json`."""

    model: str
    version: int
    content_hash: str  # Hash of the files that decide a server's answers, from `content_hash`.
    published: str  # Time of publication, ISO 8601.
    files: Mapping[str, str]  # SHA-256 by path of every file but this manifest.
    lineage: Mapping[str, Any] | None
    about: About = field(default_factory=About)

    def to_json(self) -> str:
        """Convert the manifest to JSON."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2) + "\n"


def timestamp() -> str:
    """Return the current time in UTC as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions_in(folder: Path) -> dict[int, Path]:
    """List the folders of a model that a server takes for versions, by ascending number."""
    if not folder.is_dir():
        return {}
    found = {
        int(path.name): path
        for path in folder.iterdir()
        # Accept ASCII only: `int` reads digits of other scripts, which servers do not.
        if path.name.isascii() and path.name.isdecimal() and path.is_dir()
    }
    return dict(sorted(found.items()))


def files_of(folder: Path) -> dict[str, str]:
    """Compute the SHA-256 of every file in a SavedModel, by path in ascending order.

    The manifest `publication.json` is left out, because it holds these checksums.

    Raises:
        RepositoryError: if the folder holds no SavedModel, or a link to a folder or out of it.
        OSError: if a file cannot be read.
    """
    if not (folder / "saved_model.pb").is_file():
        raise RepositoryError(
            f"a SavedModel must be a folder with saved_model.pb. Received: {folder}, which has none"
        )
    paths = list(folder.rglob("*"))
    if link := link_out_of(folder):
        raise RepositoryError(
            f"a SavedModel must hold its files itself. Received: {link}, which is a link"
        )
    files = {path.relative_to(folder): path for path in paths if path.is_file()}
    files.pop(PUBLICATION, None)
    return {name.as_posix(): checksum(files[name]) for name in sorted(files)}


def content_hash(files: Mapping[str, str]) -> str:
    """Hash the files that decide a server's answers, from their SHA-256 by path (`files_of`)."""
    lines = (f"{digest}  {name}\n" for name, digest in files.items() if name not in _NOT_SERVED)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def add_version(source: Path, target: Path, publication: Publication) -> None:
    """Copy a SavedModel with its manifest to `target`, which appears complete or not at all.

    Raises:
        RepositoryError: if the source changed since its files were hashed.
        OSError: if it cannot be copied, or the copy is wrong; no part of it is left behind.
    """
    with atomic.new_folder(target) as temporary:
        for name in publication.files:
            copy = temporary / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, copy)
        # Hash the copy: the source may have changed between its hashing and the copying.
        if not _holds(temporary, publication.files):
            if _holds(source, publication.files):  # Blame the disk, not the source.
                reason = "the copy in the repository differs from the SavedModel"
                raise OSError(errno.EIO, reason, str(target.parent))
            raise RepositoryError(
                f"a SavedModel must not change while it is published. Received: {source}, which did"
            )
        manifest = temporary / PUBLICATION
        manifest.parent.mkdir(exist_ok=True)
        manifest.write_text(publication.to_json())


def _holds(folder: Path, files: Mapping[str, str]) -> bool:
    try:
        return files_of(folder) == files
    except (RepositoryError, OSError):  # The folder vanished or was replaced.
        return False


def lineage_of(savedmodel: Path) -> dict[str, Any] | None:
    """Read the lineage in a SavedModel, None if it has none; damage is a RepositoryError."""
    return _read_object(savedmodel / LINEAGE, "a SavedModel's lineage")


def publication_of(version: Path) -> Publication | None:
    """Read the manifest in a version's folder; None if `growgan publish` did not write the version.

    Raises:
        RepositoryError: if the manifest is damaged, or of another schema.
    """
    file = version / PUBLICATION
    content = _read_object(file, "the manifest of a version")
    if content is None:
        return None
    try:
        if content.pop("schema") != SCHEMA:
            raise ValueError(f"it is not of schema {SCHEMA}")
        about = content.pop("about")
        gate = about.pop("gate")
        decision = gate and Gate(passed=gate["passed"], reasons=tuple(gate["reasons"]))
        return Publication(**content, about=About(**about, gate=decision))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RepositoryError(
            "the manifest of a version must be as `growgan publish` wrote it. "
            f"Received: {file}: {error}"
        ) from error


def _read_object(file: Path, what: str) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RepositoryError(f"{what} must be JSON. Received: {file}: {error}") from error
    if not isinstance(content, dict):
        raise RepositoryError(f"{what} must be a JSON object. Received: {file}")
    return content
