"""Routes of REST requests, as TensorFlow Serving reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from savedmodels.server.codes import Refused, invalid
from savedmodels.server.model_manager import ModelSpec

_VERSION = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<method>classify|regress|predict)", re.I
)
_GET = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?:/(?P<method>metadata))?", re.I)
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Route:
    """A model, and what to do with it: predict, classify, regress, metadata, or status."""

    spec: ModelSpec
    method: str


def is_ours(path: str) -> bool:
    """Return whether a path belongs to the API at all."""
    return path.lower().startswith("/v1/")


def route(verb: str, path: str) -> Route:
    """Read a path, as it was sent and without its query.

    Raises:
        Refused: INVALID_ARGUMENT.
    """
    pattern = {"POST": _POST, "GET": _GET}.get(verb)
    match = pattern.fullmatch(path) if pattern else None
    if match is None:
        raise malformed(verb, path)
    version = match["version"]
    if version and (len(version) > 19 or int(version) > _LARGEST):
        raise invalid(f"Failed to convert version: {version} to numeric.")
    # Only the words before it are matched without regard to case, in TensorFlow Serving too.
    method = match["method"] or "status"
    if verb == "POST" and not method.islower():
        raise malformed(verb, path)
    if not match["name"]:
        raise invalid("Missing model name in request.")
    label = unquote(match["label"]) if match["label"] else None
    spec = ModelSpec(unquote(match["name"]), int(version) if version else None, label)
    return Route(spec, method if method.islower() else "status")


def malformed(verb: str, path: str) -> Refused:
    """The refusal of a path that asks for nothing."""
    return invalid(f"Malformed request: {verb} {path}")
