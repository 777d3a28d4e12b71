"""What `pipeline.yaml` may say, and the one line that refuses the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.data.sources import Place
from pipeline.errors import UserError
from pipeline.orchestration.project import PIPELINE, open_project, yaml_text
from pipeline.orchestration.template import write_project
from tests.pipeline.orchestration.projects import make_project


def test_a_new_project_is_read_as_it_was_asked_for(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    assert project.config.model == "digits"
    assert project.places() == (Place(tmp_path / "incoming"),)
    config = project.training_config()
    assert config.schedule.build().resolutions == (8,)
    assert config.data.records == project.records
    assert (project.dagster_home / "dagster.yaml").exists()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"modle": "x"}, "`modle` is no known key (did you mean model?). Known here: contract, "),
        ({"schedule": {"cron": "daily"}}, "`schedule.cron` must have five fields"),
        ({"schedule": {"new_data": {"lest": 3}}}, "`schedule.new_data.lest` is no known key"),
        ({"sources": []}, "`sources` "),
        ({"model": "a/b"}, "`model` "),
        ({"overrides": ["gate.max_fid=3"]}, "`overrides` must leave `gate`"),
        ({"overrides": ["schedule.resolution=9"]}, "`schedule.resolution` must be powers of two"),
        ({"preset": "quikstart"}, "did you mean quickstart?"),
        ({"training": {"kubernetes": {"image": "i"}}},
         "`training.kubernetes.mount_path` must be set"),
        ({"training": {"kubernetes": {"image": "i", "mount_path": "work"}}},
         "`training.kubernetes.mount_path` must be an absolute path. Received: work"),
        ({"training": {"kubernetes": {"image": "i", "mount_path": "/elsewhere"}}},
         "must lie on the volume of its pods, below `training.kubernetes.mount_path`"),
        ({"training": {"kubernetes": {"image": "i", "mount_path": "/", "pod": {"volumes": []}}}},
         "`training.kubernetes.pod` must leave volumes to the manifests of growgan"),
        ({"training": {"kubernetes": {"image": "i", "mount_path": "/",
                                      "resources": {"memory": "8 GB"}}}},
         "`training.kubernetes.resources` must have quantities such as 4, 500m or 8Gi"),
        ({"repository": {"servers": ["http://a", "http://a..b:8501"]}},
         "`repository.servers` must be an http:// or https:// URL of a host"),
        ({"repository": {"servers": ["http://[::1"]}}, "must be an http:// or https:// URL of a"),
        ({"gate": {}}, "`gate` must have a rule: max_fid, max_fid_increase_over_promoted, max_kid"),
        ({"gate": {"min_images": 9}}, "`gate` must have a rule: "),
        ({"gate": {"max_fid": 3}},
         "`gate.max_fid` needs `evaluation.features` to measure its score. Received:"),
        ({"gate": {"min_recall": 0.1},
          "overrides": ["evaluation.features=lenet:x", "evaluation.metrics=[fid,swd]"]},
         "`gate.min_recall` needs precision_recall among `evaluation.metrics`. Received: fid, swd"),
        ({"gate": {"max_fid": 3},
          "overrides": ["evaluation.features=lenet:x", "evaluation.images=9999"]},
         "`gate.min_images` must be at most `evaluation.images`, the images that are measured. "
         "Received: 10000 and 9999"),
        ({"gate": {"max_fdi": 3}}, "`gate.max_fdi` is no known key (did you mean max_fid?)"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        make_project(tmp_path, **changes)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (
            lambda file: None,
            "which `growgan pipeline init` writes. Received: {folder}, without one",
        ),
        (Path.mkdir, "must be readable. Received: {folder}/pipeline.yaml: Is a directory"),
        (
            lambda file: file.write_bytes(b"\xff"),
            "must be YAML. Received: {folder}/pipeline.yaml: ",
        ),
        (
            lambda file: file.write_text("a: [\n"),
            "must be YAML. Received: {folder}/pipeline.yaml: ",
        ),
        (lambda file: file.write_text("- 1"), "must be a mapping of keys"),
    ],
    ids=["none", "unreadable", "bytes", "malformed", "list"],
)
def test_what_is_no_project_is_one_line(
    tmp_path: Path, make: Callable[[Path], Any], line: str
) -> None:
    make(tmp_path / PIPELINE)
    with pytest.raises(UserError) as caught:
        open_project(tmp_path)
    assert line.format(folder=tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_project_that_would_be_wrong_leaves_nothing(tmp_path: Path) -> None:
    given = {"model": "m", "sources": ["in"], "overrides": []}
    with pytest.raises(UserError, match="quikstart"):
        write_project(tmp_path / "new", preset="quikstart", **given)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UserError, match="`DIR` must be a new or empty folder"):
        write_project(tmp_path / "full", preset="quickstart", **given)


def test_a_source_may_be_named_as_a_place_of_the_template_is(tmp_path: Path) -> None:
    sources = [str(tmp_path / name) for name in ("{PRESET}", "{MODEL}", "{OTHER}", "\\1")]
    for source in sources:
        Path(source).mkdir()
    project = write_project(
        tmp_path / "new", model="m", sources=sources, preset="quickstart", overrides=[]
    )
    assert list(project.config.sources) == sources
    assert (project.config.model, project.config.preset) == ("m", "quickstart")


def test_several_sources_must_be_folders(tmp_path: Path) -> None:
    project = make_project(tmp_path, sources=[str(tmp_path / "incoming"), "digits"])
    with pytest.raises(UserError, match="several `sources` must all be folders"):
        project.places()
    assert make_one(tmp_path / "one").places() == ()


def make_one(folder: Path) -> Any:
    folder.mkdir()
    return make_project(folder, sources=["digits"])


@pytest.mark.parametrize("value", ["a: b", "", None, 3, [1, "x"], {4: 64}, "it's # so", 1e-3])
def test_values_stay_what_they_are_on_one_line(value: Any) -> None:
    text = yaml_text(value)
    assert "\n" not in text
    assert yaml.safe_load(text) == value
