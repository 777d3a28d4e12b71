"""Folders of a model's versions: list, hash, add and describe them."""

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

SCHEMA = 1
# Lineage holds the time of the export, and the fingerprint a random identifier. Names in a graph
# count what its process made before, so even then hashes agree only between equal processes.
_NOT_SERVED = frozenset({LINEAGE.as_posix(), "fingerprint.pb"})


@dataclass(frozen=True)
class Gate:
    """Decision of the gate on a model."""

    passed: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class About:
    """Facts about a version that its files do not hold; None for those that are unknown."""

    config: Mapping[str, Any] | None = None
    """Configuration of the run that made the version."""
    evaluation: Mapping[str, Any] | None = None
    """Scores of the version, with features and protocol."""
    gate: Gate | None = None


@dataclass(frozen=True)
class Publication:
    """Manifest of a published version."""

    model: str
    version: int
    content_hash: str
    """SHA-256 over names and content of the files that decide a server's answers."""
    published: str
    """Time of publication, ISO 8601."""
    files: Mapping[str, str]
    """SHA-256 of every file by its path, except this manifest."""
    lineage: Mapping[str, Any] | None
    about: About = field(default_factory=About)

    def to_json(self) -> str:
        """Write the manifest as JSON."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2) + "\n"


def timestamp() -> str:
    """Return the current time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions_in(folder: Path) -> dict[int, Path]:
    """List the versions that a server finds in a folder, ascending: folders named by a number."""
    if not folder.is_dir():
        return {}
    found = {
        int(path.name): path
        for path in folder.iterdir()
        # ASCII, because `int` reads digits of other scripts too, and servers do not.
        if path.name.isascii() and path.name.isdecimal() and path.is_dir()
    }
    return dict(sorted(found.items()))


def files_of(folder: Path) -> dict[str, str]:
    """Compute the SHA-256 of every file by its path, ascending, except the publication's.

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
    # The publication holds these checksums, so it cannot be among them.
    files.pop(PUBLICATION, None)
    return {name.as_posix(): checksum(files[name]) for name in sorted(files)}


def content_hash(files: Mapping[str, str]) -> str:
    """Hash the files that decide a server's answers, without the time of the export."""
    lines = (f"{digest}  {name}\n" for name, digest in files.items() if name not in _NOT_SERVED)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def add_version(source: Path, target: Path, publication: Publication) -> None:
    """Copy a SavedModel to its version's folder, which appears complete or not at all.

    Raises:
        RepositoryError: if the source changed since its files were hashed.
        OSError: if it cannot be copied; nothing is left behind.
    """
    with atomic.new_folder(target) as temporary:
        for name in publication.files:
            copy = temporary / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, copy)
        # Hash the copy, not the source, which may have changed while it was read.
        if not _holds(temporary, publication.files):
            if _holds(source, publication.files):  # Blame the disk, not who published.
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
    except (RepositoryError, OSError):  # It vanished, or was replaced.
        return False


def lineage_of(savedmodel: Path) -> dict[str, Any] | None:
    """Read the lineage of a SavedModel, None if it has none; refuses a damaged one."""
    return _read_object(savedmodel / LINEAGE, "a SavedModel's lineage")


def publication_of(version: Path) -> Publication | None:
    """Read the manifest of a version, None if `growgan publish` did not write the version.

    Raises:
        RepositoryError: if it is damaged, or of another schema.
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
        judged = gate and Gate(passed=gate["passed"], reasons=tuple(gate["reasons"]))
        return Publication(**content, about=About(**about, gate=judged))
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
