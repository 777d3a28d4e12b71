"""Paths of REST requests, as TensorFlow Serving reads them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savedmodels.server.codes import Code, Refused
from savedmodels.server.model_manager import ModelSpec
from savedmodels.server.routes import Route, is_ours, route


@pytest.mark.parametrize(
    ("verb", "path", "expected"),
    [
        ("POST", "/v1/models/m:predict", Route(ModelSpec("m"), "predict")),
        ("POST", "/V1/Models/M:predict", Route(ModelSpec("M"), "predict")),
        ("POST", "/v1/models/m/versions/3:predict", Route(ModelSpec("m", 3), "predict")),
        (
            "POST",
            "/v1/models/m/labels/b%20c:regress",
            Route(ModelSpec("m", None, "b c"), "regress"),
        ),
        ("POST", "/v1/models/a%2Fb:classify", Route(ModelSpec("a/b"), "classify")),
        ("GET", "/v1/models/m", Route(ModelSpec("m"), "status")),
        ("GET", "/v1/models/m/versions/3", Route(ModelSpec("m", 3), "status")),
        ("GET", "/v1/models/m/labels/x", Route(ModelSpec("m", None, "x"), "status")),
        ("GET", "/v1/models/m/metadata", Route(ModelSpec("m"), "metadata")),
        ("GET", "/v1/models/m/versions/3/metadata", Route(ModelSpec("m", 3), "metadata")),
        ("GET", "/v1/models/m/METADATA", Route(ModelSpec("m"), "status")),
    ],
)
def test_what_paths_ask_for(verb: str, path: str, expected: Route) -> None:
    assert route(verb, path) == expected


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/v1/foo"),
        ("POST", "/v1/models"),
        ("POST", "/v1/models/m"),
        ("POST", "/v1/models/m:PREDICT"),
        ("GET", "/v1/models/m:predict"),
        ("GET", "/v1/models/m/x"),
        ("POST", "/v1/models/m/version/50:predict"),
        ("POST", "/v1/models/m/versions/x:predict"),
        ("POST", "/v1/models/m/versions/1/labels/x:predict"),
        ("POST", "/v1/models/m/metadata"),
        ("PUT", "/v1/models/m:predict"),
        ("GET", "/v1/models/"),
    ],
)
def test_malformed_requests(verb: str, path: str) -> None:
    with pytest.raises(Refused) as caught:
        route(verb, path)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert caught.value.message == f"Malformed request: {verb} {path}"


def test_what_is_missing_or_too_large() -> None:
    with pytest.raises(Refused, match=r"^Missing model name in request\.$"):
        route("GET", "/v1/models")
    for version in (2**63, "9" * 5000):
        with pytest.raises(Refused, match=r"^Failed to convert version: "):
            route("POST", f"/v1/models/m/versions/{version}:predict")
    assert route("GET", f"/v1/models/m/versions/{2**63 - 1}").spec.version == 2**63 - 1


def test_what_belongs_to_the_api() -> None:
    assert is_ours("/V1/foo")
    assert not is_ours("/v2/models/m")


@given(st.sampled_from(["GET", "POST", "HEAD"]), st.text())
def test_any_path_is_read_or_refused(verb: str, path: str) -> None:
    for text in (path, f"/v1/models/{path}", f"/v1/models/{path}:predict"):
        with contextlib.suppress(Refused):
            assert route(verb, text).spec.name
