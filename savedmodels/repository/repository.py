"""Model repository: read its models and versions, and write the configuration of its servers.

`publisher.py` changes versions and labels. docs/serving.md describes the files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from savedmodels import atomic, locks
from savedmodels.literal_path import is_literal
from savedmodels.repository.errors import RepositoryError
from savedmodels.repository.history import PROMOTIONS, LabelState, read_history, replay
from savedmodels.repository.models_config import MODELS_CONFIG, ServedModel, model_config_text
from savedmodels.repository.versions import Publication, content_hash, publication_of, versions_in

SETTINGS = "repository.json"  # File with the path of the repository as servers see it.
# A model's name must be valid as a folder and in a URL.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

OnWait: TypeAlias = Callable[[Path], None]
"""Callback that gets the path of the lock file before a wait for another publisher."""


@dataclass(frozen=True)
class VersionState:
    """State of one version in the repository."""

    version: int
    publication: Publication | None  # Manifest; None if `publish` did not write the version.
    labels: tuple[str, ...]
    pending: tuple[str, ...]
    """Labels that wait for servers to load the version, and move to it then."""
    loaded: bool  # True if `models.config` makes servers load the version.


@dataclass(frozen=True)
class Repository:
    """Model repository: a folder that holds `<model>/<version>/` and files for servers."""

    path: Path

    @property
    def models_config(self) -> Path:
        """Path of the configuration that servers read."""
        return self.path / MODELS_CONFIG

    def folder_of(self, model: str) -> Path:
        """Return the path of a model's folder, which need not exist.

        Raises:
            RepositoryError: if the name is invalid in a URL or as a folder.
        """
        if not _NAME.fullmatch(model) or model in (MODELS_CONFIG, SETTINGS):
            raise RepositoryError(
                "the name of a model must be of letters, digits, `_`, `.` and `-`, begin with a "
                f"letter or digit, and not be {MODELS_CONFIG} or {SETTINGS}. Received: {model!r}"
            )
        return self.path / model

    def models(self) -> list[str]:
        """List the models with published versions."""
        # Skip folders that cannot be models, such as `faces (copy)`.
        names = (file.parent.name for file in self.path.glob(f"*/{PROMOTIONS}"))
        return sorted(name for name in names if _NAME.fullmatch(name))

    def label_state(self, model: str) -> LabelState:
        """Compute labels and loaded versions of a model; a damaged history is a RepositoryError."""
        return replay(read_history(self.folder_of(model)))

    def versions(self, model: str) -> list[VersionState]:
        """List the versions of a model, ascending; a damaged file is a RepositoryError."""
        state, folders = self.label_state(model), versions_in(self.folder_of(model))
        # Without labels, servers load the newest version.
        loaded = state.loaded or ({max(folders)} if folders else set())
        return [
            VersionState(
                version=version,
                publication=publication_of(folder),
                labels=tuple(name for name, at in state.labels.items() if at == version),
                pending=tuple(name for name, to in state.pending.items() if to.version == version),
                loaded=version in loaded,
            )
            for version, folder in folders.items()
        ]

    def version_of(self, model: str, files: Mapping[str, str]) -> int | None:
        """Find the version with the same content as a SavedModel, from its `files_of`; or None."""
        content = content_hash(files)
        for version, folder in versions_in(self.folder_of(model)).items():
            known = publication_of(folder)
            if known is not None and known.content_hash == content:
                return version
        return None

    def publication(self, model: str, version: int) -> Publication:
        """Read the manifest of a version.

        Raises:
            RepositoryError: if there is no such version, it was not published, or it is damaged.
        """
        folders = versions_in(self.folder_of(model))
        if version not in folders:
            raise RepositoryError(
                f"a version of {model} must be one of {', '.join(map(str, folders)) or 'none'}. "
                f"Received: {version}"
            )
        found = publication_of(folders[version])
        if found is None:
            raise RepositoryError(
                "a version must be one that `growgan publish` wrote. "
                f"Received: {folders[version]}, which has no manifest"
            )
        return found

    def write_models_config(self, served_at: str | None = None) -> None:
        """Write `models.config`, which servers watch, from the histories of all models.

        Args:
            served_at: Path of the repository as servers see it from now on; None to keep the
                last one given, or if none was, the path on this machine.

        Raises:
            RepositoryError: if a history or the settings file is damaged.
            OSError: if a file cannot be written.
        """
        atomic.make_folder(self.path)
        # Take a second lock: a publisher locks only its model, but this file lists all models.
        with locks.hold(self.path / f".{MODELS_CONFIG}.lock"):
            atomic.remove_remains(self.path, deep=False)
            base = self._served_base(served_at)
            if served_at is not None:
                atomic.write_file(self.path / SETTINGS, json.dumps({"served_at": base}) + "\n")
            # Leave out models without versions: a server would wait endlessly for the first one.
            models = (self._served_model(model, base) for model in self.models())
            text = model_config_text(model for model in models if model is not None)
            if not self.models_config.exists() or self.models_config.read_bytes() != text.encode():
                atomic.write_file(self.models_config, text)

    def require_servable(self, served_at: str | None) -> None:
        """Refuse a path that servers cannot load models from; None checks the last one given.

        Raises:
            RepositoryError: if the path is not absolute, TensorFlow Serving would read it as a
                pattern, or the settings file is damaged.
        """
        if served_at is not None and not served_at.startswith("/") and "://" not in served_at:
            raise RepositoryError(
                "the path of the repository as servers see it must be absolute. "
                f"Received: {served_at}"
            )
        base = self._served_base(served_at)
        if not is_literal(base):
            raise RepositoryError(
                "the path of the repository as servers see it must be without `[` and `\\`, which "
                f"TensorFlow Serving takes for a pattern. Received: {base}"
            )

    def _served_base(self, served_at: str | None) -> str:
        file = self.path / SETTINGS
        if served_at is not None:
            return served_at.rstrip("/")
        if not file.exists():
            return str(self.path.resolve())
        try:
            return str(json.loads(file.read_text())["served_at"])
        except (KeyError, TypeError, ValueError) as error:
            raise RepositoryError(
                f"the settings of a repository must be as they were written. Received: {file}"
            ) from error

    def _served_model(self, model: str, base: str) -> ServedModel | None:
        state, folders = self.label_state(model), versions_in(self.folder_of(model))
        if not folders:
            return None
        return ServedModel(
            name=model,
            base_path=f"{base}/{model}",
            versions=[version for version in state.loaded if version in folders],
            # Leave out labels of versions removed by hand: servers would refuse the whole file.
            labels={name: at for name, at in state.labels.items() if at in folders},
        )


@contextmanager
def lock_model(
    repository: Repository, model: str, on_wait: OnWait = lambda _: None
) -> Iterator[Path]:
    """Lock a model, remove what killed publishers left, and yield its folder, made if missing.

    Raises:
        RepositoryError: if the model's name is invalid.
        OSError: if the folder cannot be written, or its file system has no locks.
    """
    folder = repository.folder_of(model)
    atomic.make_folder(folder)
    lock = folder / ".publish.lock"
    with locks.hold(lock, on_wait=lambda: on_wait(lock)):
        # Nobody uses temporary files now: a living publisher would hold the lock.
        atomic.remove_remains(folder, deep=False)
        yield folder
