"""Load, lease and unload versions of models, so that changing a version drops no request."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from savedmodels.server.codes import Code, Refused, invalid
from savedmodels.server.versions import (
    NEWEST,
    Policy,
    State,
    choose_versions,
    list_versions,
    plan_changes,
)

log = logging.getLogger(__name__)


class Closable(Protocol):
    """Loaded version that can be closed, such as `Predictor`."""

    def close(self) -> None:
        """Free the memory of the version."""


Loaded = TypeVar("Loaded", bound=Closable)


@dataclass(frozen=True)
class Model:
    """Model to serve: the folder of its versions, the policy that selects some, and its labels.

    `labels` holds a version's number by label. A request may name a label instead of the number.
    """

    name: str
    base: Path
    policy: Policy = NEWEST
    labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelSpec:
    """Model and version that a request asks for: by number, by label, or else the highest."""

    name: str
    version: int | None = None
    label: str | None = None


@dataclass(frozen=True)
class Health:
    """State of a version and its last load error (`Code.OK` if there is none)."""

    version: int
    state: State
    code: Code = Code.OK
    message: str = ""


@dataclass(eq=False)
class _Version(Generic[Loaded]):
    """State of a version, with the requests that lease it and its failed loads counted."""

    state: State = State.START
    loaded: Loaded | None = None
    leases: int = 0
    code: Code = Code.OK
    message: str = ""  # not the exception: its traceback would keep the version in memory
    failures: int = 0
    retry_at: float = 0.0  # in seconds of `time.monotonic`


class ModelManager(Generic[Loaded]):
    """Table of the served models and their versions; thread-safe.

    A version answers requests once it is loaded and warmed up. A version that is no longer wanted
    gets no new requests, and is closed when its last request is done.

    `load` loads and warms up a version, given the model's name and the version's folder; if it
    raises, that becomes the version's error. `Options` describes the other arguments.
    """

    def __init__(
        self,
        load: Callable[[str, Path], Loaded],
        *,
        retries: int = 5,
        retry_seconds: float = 60.0,
        labels_may_wait: bool = False,
    ) -> None:
        self._load_from_folder = load
        self._retries = retries
        self._retry_seconds = retry_seconds
        self._labels_may_wait = labels_may_wait
        self._models: dict[str, Model] = {}
        self._configured = False
        self._versions: dict[str, dict[int, _Version[Loaded]]] = {}
        self._missing: set[str] = set()  # names of models whose folder is missing
        self._closing = False
        self._lock = threading.Lock()  # Hold it for moments only, as every request needs it.
        # Hold this one while versions load, so that only one thread changes what is served.
        self._changing = threading.RLock()

    @contextmanager
    def lease(self, spec: ModelSpec) -> Iterator[tuple[int, Loaded]]:
        """Yield a version's number and the loaded version, which stays loaded within the block."""
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        with self._lock:
            version = spec.version
            if spec.label is not None:
                version = self._version_of_label(spec.name, spec.label)
            number, entry = self._find_available(spec.name, version)
            entry.leases += 1
        try:
            assert entry.loaded is not None
            yield number, entry.loaded
        finally:
            with self._lock:
                entry.leases -= 1
            self._close_if_idle(entry)

    def health(self, name: str, version: int | None = None) -> list[Health]:
        """Return the state of one version, or of all versions of a model, highest first."""
        with self._lock:
            versions = self._versions.get(name, {})
            if version is not None and version not in versions:
                raise Refused(Code.NOT_FOUND, f"Could not find version {version} of model {name}")
            if not versions:
                raise Refused(Code.NOT_FOUND, f"Could not find any versions of model {name}")
            numbers = [version] if version is not None else sorted(versions, reverse=True)
            found = [(number, versions[number]) for number in numbers]
            return [Health(number, each.state, each.code, each.message) for number, each in found]

    def unready(self) -> list[str]:
        """List the names of the models without an available version."""
        with self._lock:
            return [name for name in self._models if not self._available_numbers(name)]

    def knows(self, name: str) -> bool:
        """Return whether a model of this name is to be served."""
        return name in self._models

    def reload(self, models: Collection[Model]) -> None:
        """Replace all served models by those of a configuration, and load or unload versions.

        Moving a label takes two configurations: one that loads the version, then one that moves it.

        Raises:
            Refused: INVALID_ARGUMENT if a name occurs twice or a folder is missing, or
                FAILED_PRECONDITION if a label names a version that is not available (in the first
                configuration: that it does not load). Both change nothing. UNKNOWN if a new model
                has no version that loads; the configuration is in force all the same.
        """
        names = [model.name for model in models]
        for name in names:
            if names.count(name) > 1:
                raise invalid(f"Illegal to list model {name} multiple times in config list")
        for model in models:
            if not model.base.is_dir():
                raise invalid(f"Could not find base path {model.base} for servable {model.name}")
        with self._changing:
            # Check all labels before any change, so that a refusal changes nothing.
            for model in models:
                self._check_labels(model)
            new = set(names) - set(self._models)
            # Disable `follow` from now on: it would add models that the configuration leaves out.
            self._configured = True
            self._replace(models)
            self.poll()
            if failed := sorted(new & set(self.unready())):
                raise Refused(
                    Code.UNKNOWN, f"Some models did not become available: {', '.join(failed)}"
                )

    def follow(self, models: Collection[Model]) -> None:
        """Replace all served models by these unless `reload` has set them before; then `poll`."""
        with self._changing:
            if not self._configured:
                self._replace(models)
            self.poll()

    def poll(self) -> None:
        """Look for new and removed versions, and load or unload them."""
        with self._changing:
            # Unload all versions of models that are no longer served.
            for name in [name for name in self._versions if name not in self._models]:
                self._load_and_unload(name, {}, frozenset())
            for model in list(self._models.values()):
                found = list_versions(model.base)
                if found is None:
                    # Keep loaded versions: the folder may be missing for a moment only.
                    if model.name not in self._missing:
                        log.warning(
                            "the folder of model %s is not there: %s", model.name, model.base
                        )
                    self._missing.add(model.name)
                    continue
                self._missing.discard(model.name)
                self._load_and_unload(model.name, found, choose_versions(found, model.policy))

    def stop_loading(self) -> None:
        """Start no further loads, so that the server can end soon; a running load goes on."""
        self._closing = True

    def close(self, seconds: float | None = None) -> None:
        """Unload all versions, or none if a running load does not end within `seconds`."""
        self.stop_loading()
        if not self._changing.acquire(timeout=-1 if seconds is None else seconds):
            # Leave the thread: it cannot be stopped inside TensorFlow, but ends with the process.
            log.warning("a version is still being loaded, and is left")
            return
        try:
            self._replace([])
            self.poll()
        finally:
            self._changing.release()

    def _replace(self, models: Iterable[Model]) -> None:
        with self._lock:
            self._models = {model.name: model for model in models}

    def _load_and_unload(
        self, name: str, found: Mapping[int, Path], wanted: frozenset[int]
    ) -> None:
        with self._lock:
            versions = self._versions.setdefault(name, {})
            for number in versions.keys() - wanted:
                # Forget failures of unwanted versions: if wanted again, they get all their retries.
                versions[number].failures = 0
        # Load before unloading, so that at every moment a version is available.
        for number in plan_changes(self._states(name), wanted).load:
            if self._closing:
                return
            self._load(name, number, found[number])
        for number in plan_changes(self._states(name), wanted).unload:
            self._unload(name, number)

    def _states(self, name: str) -> dict[int, State]:
        # Report a failed version as loading unless its retry is due: `plan_changes` then skips it.
        now = time.monotonic()
        with self._lock:
            return {
                number: State.LOADING
                if entry.failures > self._retries or (entry.failures and now < entry.retry_at)
                else entry.state
                for number, entry in self._versions[name].items()
            }

    def _load(self, name: str, number: int, folder: Path) -> None:
        with self._lock:
            entry = self._versions[name].setdefault(number, _Version())
            if entry.loaded is not None:  # It is unloading, but old requests still use it.
                return
            entry.state = State.LOADING
        log.info("version %d of model %s is being loaded", number, name)
        try:
            # Load outside the lock, so that other versions answer requests meanwhile.
            loaded = self._load_from_folder(name, folder)
        except Exception as error:
            refused = error if isinstance(error, Refused) else Refused(Code.INTERNAL, str(error))
            log.error("version %d of model %s does not load: %s", number, name, str(refused))
            with self._lock:
                entry.state, entry.code, entry.message = State.END, refused.code, refused.message
                entry.failures += 1
                entry.retry_at = time.monotonic() + self._retry_seconds
            return
        with self._lock:
            entry.loaded, entry.state = loaded, State.AVAILABLE
            entry.code, entry.message, entry.failures = Code.OK, "", 0
        log.info("version %d of model %s is available", number, name)

    def _unload(self, name: str, number: int) -> None:
        with self._lock:
            entry = self._versions[name][number]
            entry.state = State.UNLOADING  # From now on no new request can lease it.
        log.info("version %d of model %s is unloaded", number, name)
        self._close_if_idle(entry)

    def _close_if_idle(self, entry: _Version[Loaded]) -> None:
        with self._lock:
            if entry.state is not State.UNLOADING or entry.leases or entry.loaded is None:
                return
            loaded, entry.loaded = entry.loaded, None
        # Close outside the lock, which every request needs: closing waits for the batch queue.
        loaded.close()
        with self._lock:
            entry.state = State.END

    def _find_available(self, name: str, version: int | None) -> tuple[int, _Version[Loaded]]:
        numbers = self._available_numbers(name)
        # Take the highest version if none is asked for, as TensorFlow Serving does.
        number = max(numbers, default=None) if version is None else version
        if number not in numbers:
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise Refused(Code.NOT_FOUND, f"Servable not found for request: {wanted}")
        return number, self._versions[name][number]

    def _available_numbers(self, name: str) -> list[int]:
        versions = self._versions.get(name, {})
        return [n for n, entry in versions.items() if entry.state is State.AVAILABLE]

    def _version_of_label(self, name: str, label: str) -> int:
        model = self._models.get(name)
        if model is None or label not in model.labels:
            raise invalid(f"Unrecognized servable version label: {label}")
        return model.labels[label]

    def _check_labels(self, model: Model) -> None:
        before = self._models[model.name].labels if model.name in self._models else {}
        with self._lock:
            available = set(self._available_numbers(model.name))
        if not self._configured:
            # Accept labels at the server's start, when no version can be available yet.
            available |= choose_versions(list_versions(model.base) or {}, model.policy)
        for label, version in model.labels.items():
            # A moved label must not wait: requests by it would fail until its version is available.
            stays_or_is_new = before.get(label, version) == version
            if version not in available and not (self._labels_may_wait and stays_or_is_new):
                raise Refused(
                    Code.FAILED_PRECONDITION,
                    f"Request to assign label to version {version} of model {model.name}, "
                    "which is not currently available for inference",
                )
