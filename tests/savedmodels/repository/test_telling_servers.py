"""Servers find one whole `models.config` for all models."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from savedmodels.repository.errors import RepositoryError
from savedmodels.repository.publisher import Promotion, publisher_of
from savedmodels.repository.repository import Repository
from savedmodels.repository.versions import About

Make = Callable[..., Path]
Grow = Callable[..., None]
Promote = Callable[..., Promotion]


def test_models_share_a_config_with_the_path_that_servers_see(
    repository: Repository, savedmodel: Make, watching: ModuleType, tmp_path: Path
) -> None:
    source = savedmodel(tmp_path / "1")
    for name in ("faces", "cats"):
        served_at = "/models/" if name == "faces" else None
        with publisher_of(repository, name, served_at=served_at) as publisher:
            publisher.publish(source, About())
    (repository.path / "empty").mkdir()
    models = watching.parsed(repository.models_config.read_text())
    assert [each["base_path"] for each in models] == ["/models/cats", "/models/faces"]
    with (
        pytest.raises(RepositoryError, match=r"must be absolute\. Received: models"),
        publisher_of(repository, "cars", served_at="models"),
    ):
        pass
    assert not (repository.path / "cars").exists()


def test_what_others_put_there_is_in_nobodys_way(
    repository: Repository, grow: Grow, promote: Promote, watching: ModuleType
) -> None:
    grow()
    shutil.copytree(repository.path / "faces", repository.path / "faces (old)")
    repository.models_config.write_bytes("# von Hand geändert".encode("latin-1"))
    assert promote(1).moved
    assert repository.models() == ["faces"]
    [told] = watching.parsed(repository.models_config.read_text())
    assert told["labels"] == {"stable": 1}


def test_who_reads_models_config_has_a_whole_one(
    repository: Repository, grow: Grow, promote: Promote, tmp_path: Path
) -> None:
    grow()
    opened = tmp_path / "opened"
    os.link(repository.models_config, opened)
    before = opened.read_bytes()
    promote(1)
    assert opened.read_bytes() == before != repository.models_config.read_bytes()
