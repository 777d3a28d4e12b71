"""Load and unload versions, lease them to requests, and swap them without dropping a request."""

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
from savedmodels.server.versions import NEWEST, Policy, State, aspired, list_versions, plan_changes

log = logging.getLogger(__name__)


class Closable(Protocol):
    """Loaded model that can be closed."""

    def close(self) -> None:
        """Free its memory."""


Loaded = TypeVar("Loaded", bound=Closable)


@dataclass(frozen=True)
class Model:
    """Model to serve: the folder of its versions, those to serve, and the version of each label."""

    name: str
    base: Path
    policy: Policy = NEWEST
    labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelSpec:
    """Version that a request asks for: by number, by label, or else the highest."""

    name: str
    version: int | None = None
    label: str | None = None


@dataclass(frozen=True)
class Health:
    """State of a version and its last error."""

    version: int
    state: State
    code: Code = Code.OK
    message: str = ""


@dataclass(eq=False)
class _Version(Generic[Loaded]):
    state: State = State.START
    loaded: Loaded | None = None
    leases: int = 0
    code: Code = Code.OK
    message: str = ""  # not the exception, whose frames would keep the failed version in memory
    failures: int = 0
    retry_at: float = 0.0


class ModelManager(Generic[Loaded]):
    """Table of models and their versions; thread-safe.

    A version answers once it is loaded and warmed up. A version that is no longer wanted gets no
    new requests, and is closed when its last request is done.
    `load` loads and warms up a version; its exception becomes the version's error.
    """

    def __init__(
        self,
        load: Callable[[str, Path], Loaded],
        *,
        retries: int = 5,
        retry_seconds: float = 60.0,
        labels_may_wait: bool = False,
    ) -> None:
        self._load_from = load
        self._retries = retries
        self._retry_seconds = retry_seconds
        self._labels_may_wait = labels_may_wait
        self._models: dict[str, Model] = {}
        self._configured = False
        self._versions: dict[str, dict[int, _Version[Loaded]]] = {}
        self._away: set[str] = set()
        self._closing = False
        self._lock = threading.Lock()  # Held for moments, as every request needs it.
        # Held while versions load, so that only one thread changes what is served.
        self._changing = threading.RLock()

    @contextmanager
    def lease(self, spec: ModelSpec) -> Iterator[tuple[int, Loaded]]:
        """Yield number and model of a version, which stays loaded until the block ends."""
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        with self._lock:
            version = spec.version
            if spec.label is not None:
                version = self._labelled(spec.name, spec.label)
            number, entry = self._available(spec.name, version)
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
        """List the models without an available version."""
        with self._lock:
            return [name for name in self._models if not self._numbers_available(name)]

    def knows(self, name: str) -> bool:
        """Return whether there is a model of this name."""
        return name in self._models

    def reload(self, models: Collection[Model]) -> None:
        """Replace all models by these, or change nothing.

        Moving a label takes two configurations: one that loads the version, then one that moves it.

        Raises:
            Refused: INVALID_ARGUMENT if a name occurs twice or a folder is missing;
                FAILED_PRECONDITION if a label names a version that is not available, or in the
                first configuration one that it does not load. Nothing has changed then. UNKNOWN
                if a new model does not load; the others are served then.
        """
        names = [model.name for model in models]
        for name in names:
            if names.count(name) > 1:
                raise invalid(f"Illegal to list model {name} multiple times in config list")
        for model in models:
            if not model.base.is_dir():
                raise invalid(f"Could not find base path {model.base} for servable {model.name}")
        with self._changing:
            # Before any version is touched, so that a refusal changes nothing.
            for model in models:
                self._check_labels(model)
            new = set(names) - set(self._models)
            # From now on `follow` must not add models that the configuration leaves out.
            self._configured = True
            self._replace(models)
            self.poll()
            if failed := sorted(new & set(self.unready())):
                raise Refused(
                    Code.UNKNOWN, f"Some models did not become available: {', '.join(failed)}"
                )

    def follow(self, models: Collection[Model]) -> None:
        """Serve these models, unless `reload` has set the models before."""
        with self._changing:
            if not self._configured:
                self._replace(models)
            self.poll()

    def poll(self) -> None:
        """Look for new and removed versions, and load or unload them."""
        with self._changing:
            # Models that no configuration names any more: all their versions go.
            for name in [name for name in self._versions if name not in self._models]:
                self._bring_to(name, {}, frozenset())
            for model in list(self._models.values()):
                found = list_versions(model.base)
                if found is None:
                    # The folder may be away for a moment only, so loaded versions keep serving.
                    if model.name not in self._away:
                        log.warning(
                            "the folder of model %s is not there: %s", model.name, model.base
                        )
                    self._away.add(model.name)
                    continue
                self._away.discard(model.name)
                self._bring_to(model.name, found, aspired(found, model.policy))

    def load_no_more(self) -> None:
        """Start no further loads, so that the server can end soon."""
        self._closing = True

    def close(self, seconds: float | None = None) -> None:
        """Unload everything, after at most `seconds` for a load under way; None for no limit."""
        self.load_no_more()
        if not self._changing.acquire(timeout=-1 if seconds is None else seconds):
            # A thread in TensorFlow cannot be stopped; the process ends it.
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

    def _bring_to(self, name: str, found: Mapping[int, Path], wanted: frozenset[int]) -> None:
        with self._lock:
            versions = self._versions.setdefault(name, {})
            for number in versions.keys() - wanted:
                # A version that is wanted again gets all its retries again.
                versions[number].failures = 0
        # Load before unloading, so that at every moment a version is available.
        for number in plan_changes(self._states(name), wanted).load:
            if self._closing:
                return
            self._load(name, number, found[number])
        for number in plan_changes(self._states(name), wanted).unload:
            self._unload(name, number)

    def _states(self, name: str) -> dict[int, State]:
        # A failed version counts as loading: `plan_changes` leaves it alone until its retry is due.
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
            if entry.loaded is not None:  # Old requests still use it: wait for its unload.
                return
            entry.state = State.LOADING
        log.info("version %d of model %s is being loaded", number, name)
        try:
            # Outside the lock: other versions answer requests while one loads.
            loaded = self._load_from(name, folder)
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
            entry.state = State.UNLOADING  # From now on no request leases it.
        log.info("version %d of model %s is unloaded", number, name)
        self._close_if_idle(entry)

    def _close_if_idle(self, entry: _Version[Loaded]) -> None:
        with self._lock:
            if entry.state is not State.UNLOADING or entry.leases or entry.loaded is None:
                return
            loaded, entry.loaded = entry.loaded, None
        # Outside the lock, which every request needs: closing waits for threads of the batch queue.
        loaded.close()
        with self._lock:
            entry.state = State.END

    def _available(self, name: str, version: int | None) -> tuple[int, _Version[Loaded]]:
        numbers = self._numbers_available(name)
        # Without a version the highest answers, as in TensorFlow Serving.
        number = max(numbers, default=None) if version is None else version
        if number not in numbers:
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise Refused(Code.NOT_FOUND, f"Servable not found for request: {wanted}")
        return number, self._versions[name][number]

    def _numbers_available(self, name: str) -> list[int]:
        versions = self._versions.get(name, {})
        return [n for n, entry in versions.items() if entry.state is State.AVAILABLE]

    def _labelled(self, name: str, label: str) -> int:
        model = self._models.get(name)
        if model is None or label not in model.labels:
            raise invalid(f"Unrecognized servable version label: {label}")
        return model.labels[label]

    def _check_labels(self, model: Model) -> None:
        before = self._models[model.name].labels if model.name in self._models else {}
        with self._lock:
            available = set(self._numbers_available(model.name))
        if not self._configured:
            # Accept labels at the server's start, when no version can be available yet.
            available |= aspired(list_versions(model.base) or {}, model.policy)
        for label, version in model.labels.items():
            # A label that moves would fail its clients' requests until the version is there.
            stays_or_is_new = before.get(label, version) == version
            if version not in available and not (self._labels_may_wait and stays_or_is_new):
                raise Refused(
                    Code.FAILED_PRECONDITION,
                    f"Request to assign label to version {version} of model {model.name}, "
                    "which is not currently available for inference",
                )
