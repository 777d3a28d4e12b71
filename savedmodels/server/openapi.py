"""Operations of the REST API, for its routes and its OpenAPI description (`/openapi.json`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_TEXT = {"type": "string", "minLength": 1}
# Schemas of the path parameters, by the part of the path that selects a version.
_VERSION_PATHS: dict[str, dict[str, Any]] = {
    "": {},
    "/versions/{version}": {"version": {"type": "integer", "minimum": 0}},
    "/labels/{label}": {"label": _TEXT},
}
_BODY = {
    "type": "object",
    "properties": {
        "signature_name": {"type": "string"},
        "instances": {"type": "array", "description": "Inputs by rows, one for each sample"},
        "inputs": {"description": "Inputs by columns, each with all samples"},
    },
}


@dataclass(frozen=True)
class RestOperation:
    """One operation of the REST API; `extra` holds further keys of its OpenAPI object."""

    verb: str
    path: str
    summary: str
    extra: dict[str, Any]


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _answers(*refusals: str) -> dict[str, Any]:
    error = {"type": "object", "required": ["error"], "properties": {"error": _TEXT}}
    refused = {"description": "The canonical code and message of TensorFlow", **_content(error)}
    success = {"description": "The answer", **_content({"type": "object"})}
    return {"200": success, **dict.fromkeys(refusals, refused)}


def _operations() -> Iterator[RestOperation]:
    for version_path, schemas in _VERSION_PATHS.items():
        path = f"/v1/models/{{model}}{version_path}"
        parameters = [
            {"in": "path", "name": name, "required": True, "schema": schema}
            for name, schema in {"model": _TEXT, **schemas}.items()
        ]
        get = {"parameters": parameters, "responses": _answers("400", "404")}
        yield RestOperation("GET", path, "The states of versions", get)
        yield RestOperation("GET", f"{path}/metadata", "The signatures of a version", get)
        for method in ("predict", "classify", "regress"):
            refusals = _answers("400", "404", "413", "429", "501", "503", "504")
            post = {**get, "requestBody": _content(_BODY), "responses": refusals}
            summary = "Call a signature" if method == "predict" else "Not supported by this server"
            yield RestOperation("POST", f"{path}:{method}", summary, post)


OPERATIONS = tuple(_operations())
