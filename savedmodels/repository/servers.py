"""Ask TensorFlow Serving over REST whether a version is loaded or a label has moved, and wait."""

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

ANSWER_TIMEOUT = 10.0  # Seconds to wait for one answer of a server.
POLL_SECONDS = 0.25
"""Seconds between two questions; servers themselves look for new versions once a second."""


class LoadFailed(Exception):
    """A server reports that it cannot load the version."""


class NotYet(Exception):
    """A server did not reach the wanted state in time."""


@dataclass(frozen=True)
class Watchers:
    """Servers that watch a repository, as far as the caller knows them, and how long to wait."""

    servers: Collection[str] = ()
    """URLs of REST interfaces that `server_url` accepts, such as `http://127.0.0.1:8501`."""
    seconds: float = 300.0  # Seconds that one wait for all servers together may take.
    none: bool = False  # True if no server watches the repository, so there is nothing to wait for.


def server_url(url: str) -> str:
    """Check the URL of a server's REST interface, and return it unchanged.

    Raises:
        ValueError: if the URL is invalid; the message is the rule.
    """
    plain = url.isascii() and url.isprintable() and " " not in url
    try:
        parts = urllib.parse.urlsplit(url if plain else "")
        # Encode the host as IDNA, as a connection does, which limits the length of its parts.
        host, port = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:
        host, port = b"", None
    if not host or port == 0 or parts.scheme not in ("http", "https") or "@" in parts.netloc:
        raise ValueError("must be an http:// or https:// URL of a host, without a user")
    if parts.query or parts.fragment:
        raise ValueError("must be a URL that ends before `?` and `#`")
    return url


def request_to(server: str, path: str, content: Any = None) -> urllib.request.Request:
    """Make a request with the API token, if one is set: GET, or POST of `content` as JSON.

    Raises:
        ValueError: if the URL or the token is invalid.
    """
    body = None if content is None else json.dumps(content).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(server.rstrip("/") + path, body, headers)
    if credentials := authorization():
        # Do not repeat the token after a redirect: the other server must not get it.
        request.add_unredirected_header("Authorization", credentials)
    return request


def drop_silent_servers(watchers: Watchers, model: str) -> Watchers:
    """Leave out servers that do not answer at all; an HTTP error counts as an answer."""
    path = f"/v1/models/{_quote(model)}"
    answering = tuple(server for server in watchers.servers if _get(server, path)[0])
    return replace(watchers, servers=answering)


def failures(watchers: Watchers, model: str, version: int) -> frozenset[str]:
    """Return the URLs of servers that report a failed load of this version, now or earlier."""
    return frozenset(
        server for server in watchers.servers if _status(server, model, version).failure
    )


def wait_until_available(
    watchers: Watchers, model: str, version: int, failed_before: Collection[str] = ()
) -> None:
    """Wait until every server has loaded a version.

    Servers in `failed_before` still report a failure of an earlier try, which does not count.

    Raises:
        LoadFailed: if a server cannot load the version.
        NotYet: if a server has not loaded the version in time.
    """
    excused = set(failed_before)

    def reason_to_wait(server: str) -> str | None:
        status = _status(server, model, version)
        if not status.failure:  # A new try has begun; its failure counts.
            excused.discard(server)
        elif server not in excused:
            raise LoadFailed(f"{server}: {status.description}")
        return None if status.available else status.description

    _wait(watchers, reason_to_wait)


def wait_until_labelled(watchers: Watchers, model: str, labels: Mapping[str, int]) -> None:
    """Wait until every server answers requests for each label with the version in `labels`.

    Raises:
        NotYet: if a server does not in time.
    """

    def reason_to_wait(server: str) -> str | None:
        for label, version in labels.items():
            # Ask for metadata: a request for a model's status ignores the label.
            path = f"/v1/models/{_quote(model)}/labels/{_quote(label)}/metadata"
            status, answer = _get(server, path)
            if status != 200:
                return _describe_answer(status, answer)
            found = _as_object(answer.get("model_spec")).get("version")
            # Compare as strings: protobuf writes an int64 as a string in JSON.
            if str(found) != str(version):
                return f"`{label}` is version {found} there"
        return None

    _wait(watchers, reason_to_wait)


@dataclass(frozen=True)
class _Status:
    description: str
    available: bool = False
    failure: bool = False


def _status(server: str, model: str, version: int) -> _Status:
    status, answer = _get(server, f"/v1/models/{_quote(model)}/versions/{version}")
    entries = answer.get("model_version_status") if status == 200 else None
    for each in entries if isinstance(entries, list) else ():
        entry = _as_object(each)
        state, error = entry.get("state"), _as_object(entry.get("status"))
        code = error.get("error_code", "OK")
        if state == "END" and code != "OK":
            reason = f"{code} {error.get('error_message', '')}".rstrip()
            return _Status(f"version {version} of {model} cannot be loaded: {reason}", failure=True)
        description = f"version {version} of {model} is in the state {state}"
        return _Status(description, available=state == "AVAILABLE")
    return _Status(_describe_answer(status, answer))


def _wait(watchers: Watchers, reason_to_wait: Callable[[str], str | None]) -> None:
    end = time.monotonic() + watchers.seconds  # The same for all servers together.
    for server in watchers.servers:
        while reason := reason_to_wait(server):
            if time.monotonic() >= end:
                raise NotYet(f"{server} has not in {watchers.seconds:g} s: {reason}")
            time.sleep(POLL_SECONDS)


def _get(server: str, path: str) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and JSON of an answer; status 0 and the error if none came."""
    try:
        with _open(request_to(server, path)) as response:
            status, body = response.status, response.read()
    # Catch ValueError too: a redirect may name an invalid URL.
    except (OSError, ValueError, http.client.HTTPException) as error:
        return 0, {"error": str(error)}
    try:
        answer = json.loads(body)
    except ValueError:
        return status, {"error": "no JSON"}
    return status, answer if isinstance(answer, dict) else {"error": "no JSON object"}


def _as_object(value: Any) -> dict[str, Any]:
    # Expect JSON of any form: the URL may be that of another kind of server.
    return value if isinstance(value, dict) else {}


def _open(request: urllib.request.Request) -> Any:
    try:
        return urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT)
    except urllib.error.HTTPError as error:  # An HTTP error is an answer too.
        return error


def _describe_answer(status: int, answer: Mapping[str, Any]) -> str:
    if status == http.HTTPStatus.UNAUTHORIZED:
        return f"it answers 401: set ${TOKEN_VARIABLE} to its API token"
    return f"it answers {status or 'nothing'}, {answer.get('error', 'without a version')}"


def _quote(name: str) -> str:
    return urllib.parse.quote(name, safe="")
