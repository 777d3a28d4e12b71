"""The REST API of a real server against its description in OpenAPI's words."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

pytestmark = pytest.mark.slow


def openapi() -> dict[str, Any]:
    """The REST API in OpenAPI's words."""
    text, error = {"type": "string"}, {"type": "object", "required": ["error"]}
    path = {"in": "path", "required": True}
    model = {**path, "name": "model", "schema": {"type": "string", "enum": ["toy", "no"]}}
    version = {**path, "name": "version", "schema": {"type": "integer", "minimum": 0}}
    label = {**path, "name": "label", "schema": {**text, "minLength": 1}}

    def content(schema: dict[str, Any]) -> dict[str, Any]:
        return {"description": "", "content": {"application/json": {"schema": schema}}}

    body = {
        "type": "object",
        "properties": {"signature_name": text, "instances": {"type": "array"}, "inputs": {}},
    }
    answers = {code: content(error) for code in ("400", "404", "501")} | {
        "200": content({"type": "object"})
    }
    predict = {
        "post": {
            "requestBody": {"content": {"application/json": {"schema": body}}},
            "responses": answers,
        }
    }
    look = {"get": {"responses": answers}}
    places: dict[str, list[Any]] = {
        "/v1/models/{model}": [model],
        "/v1/models/{model}/versions/{version}": [model, version],
        "/v1/models/{model}/labels/{label}": [model, label],
    }
    paths = {}
    for place, parameters in places.items():
        paths[place] = {**look, "parameters": parameters}
        paths[f"{place}/metadata"] = {**look, "parameters": parameters}
        for method in ("predict", "classify", "regress"):
            paths[f"{place}:{method}"] = {**predict, "parameters": parameters}
    return {"openapi": "3.0.2", "info": {"title": "", "version": "1"}, "paths": paths}


def test_schemathesis_finds_nothing(server: Any) -> None:
    wanted = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    base = f"http://127.0.0.1:{server.rest_port}"
    operations = list(schemathesis.openapi.from_dict(openapi()).get_all_operations())
    assert len(operations) == 15
    for operation in operations:
        predicts = "classify" not in operation.ok().path and "regress" not in operation.ok().path
        chosen = wanted if predicts else wanted[1:]  # 501 is what they are to answer.

        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        @given(operation.ok().as_strategy(), st.just(chosen))
        def hold(case: Any, chosen: list[Any]) -> None:
            case.call_and_validate(base, checks=chosen)

        hold()
