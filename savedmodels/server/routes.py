"""Parse the paths of REST requests, such as `/v1/models/m:predict`, as TensorFlow Serving does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from savedmodels.server.codes import Refused, invalid
from savedmodels.server.model_manager import ModelSpec
from savedmodels.server.versions import MAX_VERSION

_VERSION = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<method>classify|regress|predict)", re.I
)
_GET = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?:/(?P<method>metadata))?", re.I)


@dataclass(frozen=True)
class Route:
    """Version and method that a path asks for: predict, classify, regress, metadata or status."""

    spec: ModelSpec
    method: str


def is_ours(path: str) -> bool:
    """Return whether a path belongs to TensorFlow Serving's API, in any case of letters."""
    return path.lower().startswith("/v1/")


def route(verb: str, path: str) -> Route:
    """Parse a path that has no query and is not percent-decoded; refuse a malformed one."""
    pattern = {"POST": _POST, "GET": _GET}.get(verb)
    match = pattern.fullmatch(path) if pattern else None
    if match is None:
        raise malformed(verb, path)
    version = match["version"]
    # Check the length first: Python converts long numbers slowly, or refuses them.
    if version and (len(version) > 19 or int(version) > MAX_VERSION):
        raise invalid(f"Failed to convert version: {version} to numeric.")
    method = match["method"] or "status"
    # Require a method in lower case only here, as TensorFlow Serving does.
    if verb == "POST" and not method.islower():
        raise malformed(verb, path)
    if not match["name"]:
        raise invalid("Missing model name in request.")
    label = unquote(match["label"]) if match["label"] else None
    spec = ModelSpec(unquote(match["name"]), int(version) if version else None, label)
    # Answer `/METADATA` in other than small letters with the status, as TensorFlow Serving does.
    return Route(spec, method if method.islower() else "status")


def malformed(verb: str, path: str) -> Refused:
    """Make the error for a malformed path."""
    return invalid(f"Malformed request: {verb} {path}")
