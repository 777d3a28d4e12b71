"""A server that watches a model repository by the rules of TensorFlow Serving, and loads nothing.

Restated from its server_core.cc and file_system_storage_path_source.cc: a new configuration is
taken as a whole or refused as a whole; labels are checked first, and may stand only at versions
that are available by then; only then are versions loaded and unloaded. Folders of versions are
those whose names are numbers.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_TOKEN = re.compile(r'#[^\n]*|"((?:[^"\\]|\\.)*)"|([\w.]+)|([{}:])')


def parsed(text: str) -> list[dict[str, Any]]:
    """The models of a `models.config`: name, base_path, versions (None: the newest), labels."""
    tokens = [match for match in _TOKEN.finditer(text) if not match[0].startswith("#")]

    def message(position: int) -> tuple[dict[str, list[Any]], int]:
        fields: dict[str, list[Any]] = {}
        while position < len(tokens) and tokens[position][0] != "}":
            name, position = tokens[position][0], position + 1
            if tokens[position][0] == ":":
                value, position = tokens[position + 1], position + 2
                given: Any = int(value[0]) if value[1] is None else _unquoted(value[1])
            else:
                assert tokens[position][0] == "{"
                given, position = message(position + 1)
            fields.setdefault(name, []).append(given)
        return fields, position + 1

    [listed] = message(0)[0]["model_config_list"]
    models = []
    for config in listed.get("config", []):
        [policy] = config["model_version_policy"]
        versions = policy["specific"][0]["versions"] if "specific" in policy else None
        assert config["model_platform"] == ["tensorflow"]
        models.append(
            {
                "name": config["name"][0],
                "base_path": config["base_path"][0],
                "versions": versions,
                "labels": {e["key"][0]: e["value"][0] for e in config.get("version_labels", [])},
            }
        )
    return models


def _unquoted(literal: str) -> str:
    octal = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), literal)
    return octal.encode("latin-1").decode()


def is_whole(version: Path) -> bool:
    """Whether every file is there as its manifest says, and nothing else is."""
    manifest = version / "assets.extra" / "publication.json"
    if not manifest.is_file():
        return False
    files = {path.relative_to(version).as_posix() for path in version.rglob("*") if path.is_file()}
    known = json.loads(manifest.read_text())["files"]
    return files == {*known, "assets.extra/publication.json"} and all(
        hashlib.sha256((version / name).read_bytes()).hexdigest() == digest
        for name, digest in known.items()
    )


class WatchingServer:
    """Polls when it is told to; what it loads becomes available one poll later.

    Args:
        config: The file `models.config`.
        failing: Versions that it cannot load.
    """

    def __init__(self, config: Path, failing: tuple[int, ...] = ()) -> None:
        self.config = config
        self.failing = failing
        self.elsewhere: dict[str, str] = {}
        """Where a path lies here that the server sees elsewhere."""
        self.states: dict[str, dict[int, str]] = {}
        self.failed: set[tuple[str, int]] = set()
        self.labels: dict[str, dict[str, int]] = {}
        self.token: str | None = None
        """Token that requests must bear, if any."""
        self.away = False
        """Whether it ends connections without an answer."""
        self.problems: list[str] = []
        """What a server must never see."""
        self._lock = threading.RLock()

    def poll(self) -> None:
        """Finish what is being loaded, then take the configuration as it is now."""
        with self._lock:
            for name, states in self.states.items():
                for version, state in states.items():
                    if state == "LOADING":
                        states[version] = "END" if version in self.failing else "AVAILABLE"
                    if states[version] == "END":
                        self.failed.add((name, version))
            if not self.config.exists():
                return
            models = parsed(self.config.read_text())
            for model in models:
                for label, version in model["labels"].items():
                    if self.states.get(model["name"], {}).get(version) != "AVAILABLE":
                        self.problems.append(f"{label} of {model['name']} at {version}: {models}")
                        return
            self.labels = {model["name"]: model["labels"] for model in models}
            self.states = {model["name"]: self._states(model) for model in models}

    def _states(self, model: dict[str, Any]) -> dict[int, str]:
        path, before = model["base_path"], self.states.get(model["name"], {})
        for seen, here in self.elsewhere.items():
            path = path.replace(seen, here, 1)
        folder = Path(path)
        there = {int(path.name) for path in folder.iterdir() if path.name.isdecimal()}
        wanted = model["versions"] or [max(there)]
        for version in wanted:
            if version not in there or not is_whole(folder / str(version)):
                self.problems.append(f"version {version} of {model['name']} is not whole")
        states = {version: before.get(version, "LOADING") for version in wanted}
        self.failed -= {(model["name"], v) for v, state in states.items() if state == "LOADING"}
        return states

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """What `GET path` is answered."""
        match = re.fullmatch(r"/v1/models/([^/:]+)/(versions|labels)/([^/:]+)(/metadata)?", path)
        assert match, path
        name, kind, which, metadata = match.groups()
        with self._lock:
            states, labels = self.states.get(name, {}), self.labels.get(name, {})
            if kind == "labels":
                assert metadata
                if which not in labels:
                    return 400, {"error": f"Unrecognized servable version label: {which}"}
                return 200, {"model_spec": {"name": name, "version": str(labels[which])}}
            ended = (name, int(which)) in self.failed  # Servers remember, until they load it again.
            if int(which) not in states and not ended:
                return 404, {"error": f"Could not find version {which} of model {name}"}
            state = states.get(int(which), "END")
            told = {"error_code": "OK", "error_message": ""}
            if state == "END":
                told = {"error_code": "DATA_LOSS", "error_message": "broken"}
            entry = {"version": which, "state": state, "status": told}
            return 200, {"model_version_status": [entry]}

    @contextmanager
    def listening(self, *, polling: bool = True) -> Iterator[str]:
        """Its URL; it polls a hundred times a second meanwhile, or only when told to."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if server.away:
                    return
                borne = self.headers.get("Authorization", "").encode("latin-1")
                if server.token is None or borne == f"Bearer {server.token}".encode():
                    status, content = server.answer(self.path)
                else:
                    status, content = 401, {"error": "A request must carry the API token"}
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        ended = threading.Event()

        def poll() -> None:
            while polling and not ended.wait(0.01):
                self.poll()

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threads = [
            threading.Thread(target=http.serve_forever, args=(0.01,)),
            threading.Thread(target=poll),
        ]
        for thread in threads:
            thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            ended.set()
            http.shutdown()
            http.server_close()
            for thread in threads:
                thread.join()
