"""The text that tells servers what to load, against the official messages."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savedmodels.repository.models_config import ServedModel, model_config_text

VERSIONS = st.sets(st.integers(1, 2**63 - 1), max_size=3)
MODELS = st.builds(
    ServedModel,
    name=st.text(),
    base_path=st.text(),
    versions=VERSIONS,
    labels=st.dictionaries(st.text(), st.integers(0, 2**63 - 1), max_size=3),
)


def plain(models: list[ServedModel]) -> list[dict[str, Any]]:
    return [
        {
            "name": model.name,
            "base_path": model.base_path,
            "versions": sorted(model.versions) or None,
            "labels": dict(model.labels),
        }
        for model in models
    ]


@pytest.fixture(scope="module")
def messages() -> ModuleType:
    module: ModuleType = pytest.importorskip(
        "tensorflow_serving.config.model_server_config_pb2",
        reason="needs the package tensorflow-serving-api",
        exc_type=ImportError,
    )
    return module


@settings(deadline=None)
@given(models=st.lists(MODELS, max_size=3))
def test_the_official_parser_reads_what_was_meant(
    messages: ModuleType, models: list[ServedModel]
) -> None:
    from google.protobuf import text_format

    read = text_format.Parse(model_config_text(models), messages.ModelServerConfig())
    assert read.WhichOneof("config") == "model_config_list"
    found = []
    for each in read.model_config_list.config:
        policy = each.model_version_policy
        kind = policy.WhichOneof("policy_choice")
        if kind == "latest":
            assert policy.latest.num_versions == 1
        assert each.model_platform == "tensorflow"
        found.append(
            {
                "name": each.name,
                "base_path": each.base_path,
                "versions": list(policy.specific.versions) if kind == "specific" else None,
                "labels": dict(each.version_labels),
            }
        )
    assert found == plain(models)


@settings(deadline=None)
@given(models=st.lists(MODELS, max_size=3))
def test_the_parser_of_the_tests_reads_it_likewise(
    watching: ModuleType, models: list[ServedModel]
) -> None:
    assert watching.parsed(model_config_text(models)) == plain(models)


def test_a_path_may_hold_bytes_that_are_no_text() -> None:
    path = os.fsdecode(b"/models/\xe9")
    assert '  base_path: "/models/\\351"\n' in model_config_text(
        [ServedModel("faces", path, [], {})]
    )
