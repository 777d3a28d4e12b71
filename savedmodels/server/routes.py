"""Parse paths of REST requests by TensorFlow Serving's rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from savedmodels.server.codes import Refused, invalid
from savedmodels.server.model_manager import ModelSpec
from savedmodels.server.versions import LARGEST

_VERSION = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<method>classify|regress|predict)", re.I
)
_GET = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?:/(?P<method>metadata))?", re.I)


@dataclass(frozen=True)
class Route:
    """Model and method of a request: predict, classify, regress, metadata or status."""

    spec: ModelSpec
    method: str


def is_ours(path: str) -> bool:
    """Return whether a path belongs to the API."""
    return path.lower().startswith("/v1/")


def route(verb: str, path: str) -> Route:
    """Parse a path, before decoding and without its query; refuses malformed ones."""
    pattern = {"POST": _POST, "GET": _GET}.get(verb)
    match = pattern.fullmatch(path) if pattern else None
    if match is None:
        raise malformed(verb, path)
    version = match["version"]
    # Length first: Python is slow, and limited, in converting long numbers.
    if version and (len(version) > 19 or int(version) > LARGEST):
        raise invalid(f"Failed to convert version: {version} to numeric.")
    method = match["method"] or "status"
    # As in TensorFlow Serving, only the method must be in lower case.
    if verb == "POST" and not method.islower():
        raise malformed(verb, path)
    if not match["name"]:
        raise invalid("Missing model name in request.")
    label = unquote(match["label"]) if match["label"] else None
    spec = ModelSpec(unquote(match["name"]), int(version) if version else None, label)
    # In other letters TensorFlow Serving takes `/METADATA` for a request for the status.
    return Route(spec, method if method.islower() else "status")


def malformed(verb: str, path: str) -> Refused:
    """Make the error for a malformed path."""
    return invalid(f"Malformed request: {verb} {path}")
