"""Which models a repository or a configuration names."""

from __future__ import annotations

from pathlib import Path

import pytest

from savedmodels.server.codes import Refused
from savedmodels.server.model_manager import Model
from savedmodels.server.versions import All, Latest, Specific

pytest.importorskip("tensorflow_serving")

from savedmodels.server.model_config import find_models, parse_models_config


def test_a_repository_names_its_folders_with_versions(tmp_path: Path) -> None:
    for folder in ("b/1", "a/20", "a/3", "empty", "notes/x"):
        (tmp_path / folder).mkdir(parents=True)
    assert find_models(tmp_path) == [Model("a", tmp_path / "a"), Model("b", tmp_path / "b")]
    assert find_models(tmp_path / "a") == [Model("a", tmp_path / "a")]
    assert find_models(tmp_path / "empty") == []


CONFIG = """
model_config_list {{
  config {{
    name: "a" base_path: "{a}" model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: 3 versions: 20 }} }}
    version_labels {{ key: "stable" value: 3 }}
    version_labels {{ key: "canary" value: 20 }}
  }}
  config {{
    name: "b" base_path: "/models/b" model_platform: "tensorflow"
    model_version_policy {{ all {{}} }}
  }}
  config {{
    name: "c" base_path: "/models/c" model_platform: "tensorflow"
    model_version_policy {{ latest {{ num_versions: 2 }} }}
  }}
  config {{ name: "d" base_path: "/models/d" model_platform: "tensorflow" }}
}}
"""


def test_a_configuration_says_policies_and_labels(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    a, b, c, d = parse_models_config(CONFIG.format(a=tmp_path / "a"), tmp_path)
    labels = {"stable": 3, "canary": 20}
    assert a == Model("a", tmp_path / "a", Specific(frozenset({3, 20})), labels)
    # Written for a container; here the repository lies elsewhere.
    assert b == Model("b", tmp_path / "b", All())
    assert c == Model("c", Path("/models/c"), Latest(2))
    assert Latest(d.policy.count if isinstance(d.policy, Latest) else 9) == Latest(0)


def test_a_base_path_of_another_machine_is_looked_for_in_the_repository(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    text = (
        'model_config_list { config { name: "f" base_path: "s3://bucket/models/faces"'
        ' model_platform: "tensorflow" } }'
    )
    [faces] = parse_models_config(text, tmp_path)
    assert faces.base == tmp_path / "faces"
    [none] = parse_models_config(text.replace("faces", "none"), tmp_path)
    assert none.base == tmp_path / "none"  # Which a server tells that is not there.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list { config { nome: 1 } }", "must be a ModelServerConfig. Received: 1:"),
        ("", "ServerModelConfig type not supported"),
        (
            'model_config_list { config { name: "a" base_path: "/a" } }',
            "Model a requests unsupported platform ''",
        ),
        (
            'model_config_list { config { name: "a" base_path: "/a" model_platform: "x" } }',
            "Model a requests unsupported platform 'x'",
        ),
        (
            'model_config_list { config { name: "a" base_path: "a"'
            ' model_platform: "tensorflow" } }',
            "Expected model a to have an absolute path or URI; got base_path()=a",
        ),
    ],
)
def test_what_cannot_be_served(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_models_config(text, tmp_path)
    assert message in caught.value.message
