"""State of a model on servers, over TensorFlow Serving's REST interface."""

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

PATIENCE_WITH_ONE_ANSWER = 10.0
"""Seconds."""
BETWEEN_QUESTIONS = 0.25
"""Seconds until a server that is not there yet is asked again."""


class LoadFailed(Exception):
    """A server has tried to load the version, and given up."""


class NotYet(Exception):
    """Some server did not say in time what was waited for."""


@dataclass(frozen=True)
class Watchers:
    """The servers that watch a repository, as far as they are known."""

    servers: Collection[str] = ()
    """URLs of their REST interfaces, such as `http://127.0.0.1:8501`; see `server_url`."""
    seconds: float = 300.0
    """For which they are waited for, all together."""
    none: bool = False
    """It is known that there are none."""


def server_url(url: str) -> str:
    """The URL of a server as it is given.

    Raises:
        ValueError: if it cannot be one; the message is what it must be.
    """
    plain = url.isascii() and url.isprintable() and " " not in url
    try:
        parts = urllib.parse.urlsplit(url if plain else "")
        # The name is resolved in this form, which bounds the length of its parts.
        host, port = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:
        host, port = b"", None
    if not host or port == 0 or parts.scheme not in ("http", "https") or "@" in parts.netloc:
        raise ValueError("must be an http:// or https:// URL of a host, without a user")
    if parts.query or parts.fragment:
        raise ValueError("must be a URL that ends before `?` and `#`")
    return url


def request_to(server: str, path: str, content: Any = None) -> urllib.request.Request:
    """A request to a server: to read a path, or to post JSON there.

    It bears the API token, if the variable has one, and does not take it along where a redirect
    leads.

    Raises:
        ValueError: if the URL or the token is none.
    """
    body = None if content is None else json.dumps(content).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(server.rstrip("/") + path, body, headers)
    if borne := authorization():
        request.add_unredirected_header("Authorization", borne)
    return request


def that_answer(watchers: Watchers, model: str) -> Watchers:
    """The same without the servers that do not answer, whatever it is."""
    path = f"/v1/models/{_quoted(model)}"
    answering = tuple(server for server in watchers.servers if _get(server, path)[0])
    return replace(watchers, servers=answering)


def failures(watchers: Watchers, model: str, version: int) -> frozenset[str]:
    """The servers that could not load a version: they say so until they are told to load it."""
    return frozenset(
        server for server in watchers.servers if _status(server, model, version).failure
    )


def wait_until_available(
    watchers: Watchers, model: str, version: int, failed_before: Collection[str] = ()
) -> None:
    """Return when every server has loaded a version.

    Args:
        watchers: The servers.
        model: Its name.
        version: Version that they are told to load.
        failed_before: Servers whose failure is of an earlier try, as long as they say nothing else.

    Raises:
        LoadFailed: if a server cannot load it.
        NotYet: if one has not by the end of the time.
    """
    excused = set(failed_before)

    def missing(server: str) -> str | None:
        status = _status(server, model, version)
        if not status.failure:
            excused.discard(server)
        elif server not in excused:
            raise LoadFailed(f"{server}: {status.told}")
        return None if status.available else status.told

    _wait(watchers, missing)


def wait_until_labelled(watchers: Watchers, model: str, labels: Mapping[str, int]) -> None:
    """Return when every server answers requests for a label by the version it stands at.

    The status of a label would not do: servers answer it for all versions alike.

    Raises:
        NotYet: if one does not by the end of the time.
    """

    def missing(server: str) -> str | None:
        for label, version in labels.items():
            path = f"/v1/models/{_quoted(model)}/labels/{_quoted(label)}/metadata"
            status, answer = _get(server, path)
            if status != 200:
                return _told(status, answer)
            found = _object(answer.get("model_spec")).get("version")
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
    end = time.monotonic() + watchers.seconds
    for server in watchers.servers:
        while reason := missing(server):
            if time.monotonic() >= end:
                raise NotYet(f"{server} has not in {watchers.seconds:g} s: {reason}")
            time.sleep(BETWEEN_QUESTIONS)


def _get(server: str, path: str) -> tuple[int, dict[str, Any]]:
    """The status and the JSON object of an answer; status 0 and the reason if there was none."""
    try:
        with _opened(request_to(server, path)) as response:
            status, body = response.status, response.read()
    # A redirect may lead to what is no URL.
    except (OSError, ValueError, http.client.HTTPException) as error:
        return 0, {"error": str(error)}
    try:
        answer = json.loads(body)
    except ValueError:
        return status, {"error": "no JSON"}
    return status, answer if isinstance(answer, dict) else {"error": "no JSON object"}


def _object(value: Any) -> dict[str, Any]:
    """The object that a server ought to have sent, or an empty one."""
    return value if isinstance(value, dict) else {}


def _opened(request: urllib.request.Request) -> Any:
    try:
        return urllib.request.urlopen(request, timeout=PATIENCE_WITH_ONE_ANSWER)
    except urllib.error.HTTPError as error:  # An answer as well.
        return error


def _told(status: int, answer: Mapping[str, Any]) -> str:
    if status == http.HTTPStatus.UNAUTHORIZED:
        return f"it answers 401: it asks for the API token, which ${TOKEN_VARIABLE} must hold"
    return f"it answers {status or 'nothing'}, {answer.get('error', 'of no version')}"


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")
