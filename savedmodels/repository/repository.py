"""Folder of a model repository: its models, their versions, and the configuration for servers."""

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
from savedmodels.repository.history import PROMOTIONS, Standing, read_history, standing_after
from savedmodels.repository.models_config import MODELS_CONFIG, ServedModel, model_config_text
from savedmodels.repository.versions import Publication, content_hash, publication_of, versions_in

SETTINGS = "repository.json"
# Names of folders that are names in a URL as well.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

OnWait: TypeAlias = Callable[[Path], None]
"""Function that is called with the lock file before the wait for another publisher."""


@dataclass(frozen=True)
class VersionStanding:
    """State of one version in the repository."""

    version: int
    publication: Publication | None
    """Manifest; None if `publish` did not write the version."""
    labels: tuple[str, ...]
    pending: tuple[str, ...]
    """Labels that move to the version as soon as servers have loaded it."""
    loaded: bool
    """True if the configuration of the servers lists it."""


@dataclass(frozen=True)
class Repository:
    """Model repository `<base>/<model>/<version>/`; only its methods read or write."""

    path: Path

    @property
    def models_config(self) -> Path:
        """Configuration that servers read."""
        return self.path / MODELS_CONFIG

    def folder_of(self, model: str) -> Path:
        """Return the folder of a model, which may be missing.

        Raises:
            RepositoryError: if the name cannot be that of a folder and in a URL.
        """
        if not _NAME.fullmatch(model):
            raise RepositoryError(
                "the name of a model must be of letters, digits, `_`, `.` and `-`, and begin with "
                f"a letter or digit. Received: {model!r}"
            )
        return self.path / model

    def models(self) -> list[str]:
        """List the models with published versions."""
        # A copy of a model's folder under an impossible name is not one.
        names = (file.parent.name for file in self.path.glob(f"*/{PROMOTIONS}"))
        return sorted(name for name in names if _NAME.fullmatch(name))

    def standing(self, model: str) -> Standing:
        """Replay a model's history; refuses a damaged one."""
        return standing_after(read_history(self.folder_of(model)))

    def versions(self, model: str) -> list[VersionStanding]:
        """List the versions of a model, ascending; refuses a damaged manifest or history."""
        standing, there = self.standing(model), versions_in(self.folder_of(model))
        # Without labels, servers load the newest.
        loaded = standing.loaded or ({max(there)} if there else set())
        return [
            VersionStanding(
                version=version,
                publication=publication_of(folder),
                labels=tuple(name for name, at in standing.labels.items() if at == version),
                pending=tuple(
                    name for name, to in standing.pending.items() if to.version == version
                ),
                loaded=version in loaded,
            )
            for version, folder in there.items()
        ]

    def version_of(self, model: str, files: Mapping[str, str]) -> int | None:
        """Find the version with the content of a SavedModel, given its `files_of`."""
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
        there = versions_in(self.folder_of(model))
        if version not in there:
            raise RepositoryError(
                f"a version of {model} must be one of {', '.join(map(str, there)) or 'none'}. "
                f"Received: {version}"
            )
        found = publication_of(there[version])
        if found is None:
            raise RepositoryError(
                "a version must be one that `growgan publish` wrote. "
                f"Received: {there[version]}, which has no manifest"
            )
        return found

    def tell_servers(self, served_at: str | None = None) -> None:
        """Write `models.config` as it follows from the histories of all models.

        Args:
            served_at: Path of the repository as servers see it from now on; None to keep the
                present one, which at first is the path here.

        Raises:
            RepositoryError: if a history is damaged.
        """
        atomic.make_folder(self.path)
        # Publishers hold the locks of their models only, and this file has all models.
        with locks.hold(self.path / f".{MODELS_CONFIG}.lock"):
            atomic.remove_remains(self.path, deep=False)
            base = self._seen(served_at)
            if served_at is not None:
                atomic.write_file(self.path / SETTINGS, json.dumps({"served_at": base}) + "\n")
            # A server waits without end for a new model of which there is no version.
            models = (self._served(model, base) for model in self.models())
            text = model_config_text(model for model in models if model is not None)
            if not self.models_config.exists() or self.models_config.read_bytes() != text.encode():
                atomic.write_file(self.models_config, text)

    def require_servable(self, served_at: str | None) -> None:
        """Refuse a path that servers cannot load models from; None means the present one.

        Raises:
            RepositoryError: if it is not absolute, TensorFlow Serving would read it as a pattern,
                or the settings are damaged.
        """
        if served_at is not None and not served_at.startswith("/") and "://" not in served_at:
            raise RepositoryError(
                "the path of the repository as servers see it must be absolute. "
                f"Received: {served_at}"
            )
        seen = self._seen(served_at)
        if not is_literal(seen):
            raise RepositoryError(
                "the path of the repository as servers see it must be without `[` and `\\`, which "
                f"TensorFlow Serving takes for a pattern. Received: {seen}"
            )

    def _seen(self, served_at: str | None) -> str:
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

    def _served(self, model: str, base: str) -> ServedModel | None:
        standing, there = self.standing(model), versions_in(self.folder_of(model))
        if not there:
            return None
        return ServedModel(
            name=model,
            base_path=f"{base}/{model}",
            versions=[version for version in standing.loaded if version in there],
            # Labels of versions removed by hand would make servers refuse the whole file.
            labels={name: at for name, at in standing.labels.items() if at in there},
        )


@contextmanager
def alone(repository: Repository, model: str, on_wait: OnWait = lambda _: None) -> Iterator[Path]:
    """Lock a model, make its folder, and remove temporary files of killed publishers.

    Raises:
        RepositoryError: if the model's name is invalid.
        OSError: if the folder cannot be written, or its file system has no locks.
    """
    folder = repository.folder_of(model)
    atomic.make_folder(folder)
    lock = folder / ".publish.lock"
    with locks.hold(lock, on_wait=lambda: on_wait(lock)):
        # A living publisher would hold the lock.
        atomic.remove_remains(folder, deep=False)
        yield folder
