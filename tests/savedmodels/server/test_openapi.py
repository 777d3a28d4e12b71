"""The REST API of a real server against what it says of itself."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

pytestmark = pytest.mark.slow


def openapi_of(server: Any) -> dict[str, Any]:
    """What a server says of its REST API, with names of models that it has and has not."""
    description: dict[str, Any] = server.ask("GET", "/openapi.json").json
    for path in description["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "model":
                    parameter["schema"]["enum"] = ["toy", "no"]
    return description


def test_schemathesis_finds_nothing(server: Any) -> None:
    wanted = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    base = f"http://127.0.0.1:{server.rest_port}"
    operations = list(schemathesis.openapi.from_dict(openapi_of(server)).get_all_operations())
    assert len(operations) == 17
    for operation in operations:
        predicts = "classify" not in operation.ok().path and "regress" not in operation.ok().path
        chosen = wanted if predicts else wanted[1:]  # 501 is what they are to answer.

        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        @given(operation.ok().as_strategy(), st.just(chosen))
        def hold(case: Any, chosen: list[Any]) -> None:
            case.call_and_validate(base, checks=chosen)

        hold()
