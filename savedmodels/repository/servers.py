"""Ask servers about a model over TensorFlow Serving's REST API, and wait for them."""

from __future__ import annotations

import http
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from savedmodels.access import TOKEN_VARIABLE, authorization

PATIENCE_WITH_ONE_ANSWER = 10.0  # seconds
BETWEEN_QUESTIONS = 0.25  # seconds: servers look for versions once a second


class LoadFailed(Exception):
    """A server failed to load the version."""


class NotYet(Exception):
    """A server did not reach the wanted state in time."""


@dataclass(frozen=True)
class Watchers:
    """Servers that watch a repository, as far as they are known."""

    servers: Collection[str] = ()
    """URLs of their REST interfaces, such as `http://127.0.0.1:8501`; see `server_url`."""
    seconds: float = 300.0
    """Seconds to wait for all servers together."""
    none: bool = False
    """True if no server watches the repository, so there is nothing to wait for."""


def server_url(url: str) -> str:
    """Check the URL of a server, and return it.

    Raises:
        ValueError: if it is not a URL of a server; the message is the rule.
    """
    plain = url.isascii() and url.isprintable() and " " not in url
    try:
        parts = urllib.parse.urlsplit(url if plain else "")
        # Names are resolved as IDNA, which limits the length of their parts.
        host, port = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:
        host, port = b"", None
    if not host or port == 0 or parts.scheme not in ("http", "https") or "@" in parts.netloc:
        raise ValueError("must be an http:// or https:// URL of a host, without a user")
    if parts.query or parts.fragment:
        raise ValueError("must be a URL that ends before `?` and `#`")
    return url


def request_to(server: str, path: str, content: Any = None) -> urllib.request.Request:
    """Make a request to a server, with the API token if there is one: GET, or POST of JSON.

    Raises:
        ValueError: if the URL or the token is invalid.
    """
    body = None if content is None else json.dumps(content).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(server.rstrip("/") + path, body, headers)
    if borne := authorization():
        # Another server that it redirects to must not get the token.
        request.add_unredirected_header("Authorization", borne)
    return request


def that_answer(watchers: Watchers, model: str) -> Watchers:
    """Leave out the servers that do not answer at all; an error counts as an answer."""
    path = f"/v1/models/{_quoted(model)}"
    answering = tuple(server for server in watchers.servers if _get(server, path)[0])
    return replace(watchers, servers=answering)


def failures(watchers: Watchers, model: str, version: int) -> frozenset[str]:
    """Return the servers that report a failed load of a version, maybe from an earlier try."""
    return frozenset(
        server for server in watchers.servers if _status(server, model, version).failure
    )


def wait_until_available(
    watchers: Watchers, model: str, version: int, failed_before: Collection[str] = ()
) -> None:
    """Wait until every server has loaded a version.

    The present failure of servers in `failed_before` is from an earlier try and does not count.

    Raises:
        LoadFailed: if a server cannot load it.
        NotYet: if a server has not loaded it in time.
    """
    excused = set(failed_before)

    def missing(server: str) -> str | None:
        status = _status(server, model, version)
        if not status.failure:  # It has begun a new try, whose failure counts.
            excused.discard(server)
        elif server not in excused:
            raise LoadFailed(f"{server}: {status.told}")
        return None if status.available else status.told

    _wait(watchers, missing)


def wait_until_labelled(watchers: Watchers, model: str, labels: Mapping[str, int]) -> None:
    """Wait until every server answers requests for each label with the given version.

    Raises:
        NotYet: if a server does not do so in time.
    """

    def missing(server: str) -> str | None:
        for label, version in labels.items():
            # Metadata, because servers ignore the label in a request for a model's status.
            path = f"/v1/models/{_quoted(model)}/labels/{_quoted(label)}/metadata"
            status, answer = _get(server, path)
            if status != 200:
                return _told(status, answer)
            found = _object(answer.get("model_spec")).get("version")
            # As strings, because protobuf writes an int64 in JSON as one.
            if str(found) != str(version):
                return f"`{label}` is version {found} there"
        return None

    _wait(watchers, missing)


@dataclass(frozen=True)
class _Status:
    told: str
    available: bool = False
    failure: bool = False


def _status(server: str, model: str, version: int) -> _Status:
    status, answer = _get(server, f"/v1/models/{_quoted(model)}/versions/{version}")
    entries = answer.get("model_version_status") if status == 200 else None
    for each in entries if isinstance(entries, list) else ():
        entry = _object(each)
        state, error = entry.get("state"), _object(entry.get("status"))
        code = error.get("error_code", "OK")
        if state == "END" and code != "OK":
            reason = f"{code} {error.get('error_message', '')}".rstrip()
            return _Status(f"version {version} of {model} cannot be loaded: {reason}", failure=True)
        told = f"version {version} of {model} is in the state {state}"
        return _Status(told, available=state == "AVAILABLE")
    return _Status(_told(status, answer))


def _wait(watchers: Watchers, missing: Callable[[str], str | None]) -> None:
    end = time.monotonic() + watchers.seconds  # One end for all servers together.
    for server in watchers.servers:
        while reason := missing(server):
            if time.monotonic() >= end:
                raise NotYet(f"{server} has not in {watchers.seconds:g} s: {reason}")
            time.sleep(BETWEEN_QUESTIONS)


def _get(server: str, path: str) -> tuple[int, dict[str, Any]]:
    """Return status and JSON object of an answer; status 0 and the reason if none came."""
    try:
        with _opened(request_to(server, path)) as response:
            status, body = response.status, response.read()
    # ValueError: a redirect may name an invalid URL.
    except (OSError, ValueError, http.client.HTTPException) as error:
        return 0, {"error": str(error)}
    try:
        answer = json.loads(body)
    except ValueError:
        return status, {"error": "no JSON"}
    return status, answer if isinstance(answer, dict) else {"error": "no JSON object"}


def _object(value: Any) -> dict[str, Any]:
    # What answers may be any HTTP server, whose JSON has any form.
    return value if isinstance(value, dict) else {}


def _opened(request: urllib.request.Request) -> Any:
    try:
        return urllib.request.urlopen(request, timeout=PATIENCE_WITH_ONE_ANSWER)
    except urllib.error.HTTPError as error:  # Errors are answers too.
        return error


def _told(status: int, answer: Mapping[str, Any]) -> str:
    if status == http.HTTPStatus.UNAUTHORIZED:
        return f"it answers 401: set ${TOKEN_VARIABLE} to its API token"
    return f"it answers {status or 'nothing'}, {answer.get('error', 'of no version')}"


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")
