"""What is served beside files that change, with made up loads, and at which address."""

from __future__ import annotations

import ipaddress
import threading
from pathlib import Path
from typing import Any

import pytest

from savedmodels.server.codes import Code, Refused
from savedmodels.server.model_manager import ModelManager, ModelSpec

pytest.importorskip("uvicorn", reason="needs the extra `serve`")
pytest.importorskip("tensorflow_serving", reason="needs the extra `serve`")

from savedmodels.server.options import Options
from savedmodels.server.serving import _Watch


class Loaded:
    def close(self) -> None:
        pass


def load(_: str, folder: Path) -> Loaded:
    if (folder / "broken").exists():
        raise Refused(Code.DATA_LOSS, "broken")
    return Loaded()


@pytest.fixture(name="manager")
def _manager() -> Any:
    return ModelManager(load, retry_seconds=0.0)


def add(repository: Path, model: str, *versions: int) -> None:
    for version in versions:
        (repository / model / str(version)).mkdir(parents=True)


def write(repository: Path, policy: str, stable: int, *others: str) -> None:
    one = 'config {{ name: "{}" base_path: "/models/{}" model_platform: "tensorflow" {} }}'
    of_m = f'model_version_policy {{ {policy} }} version_labels {{ key: "stable" value: {stable} }}'
    configs = one.format("m", "m", of_m), *(one.format(name, name, "") for name in others)
    (repository / "models.config").write_text(f"model_config_list {{ {' '.join(configs)} }}")


def stable(manager: ModelManager[Loaded]) -> int:
    with manager.lease(ModelSpec("m", label="stable")) as (version, _):
        return version


def available(manager: ModelManager[Loaded]) -> list[int]:
    return [health.version for health in manager.health("m") if health.state.name == "AVAILABLE"]


def assert_refused(watch: _Watch, code: Code) -> None:
    with pytest.raises(Refused) as caught:
        watch.look()
    assert caught.value.code is code


def test_a_refused_configuration_leaves_the_former_until_it_can_be_taken(
    tmp_path: Path, manager: Any
) -> None:
    watch = _Watch(manager, tmp_path, None)
    add(tmp_path, "m", 3)
    watch.look()
    write(tmp_path, "specific { versions: 4 }", 4)
    assert_refused(watch, Code.FAILED_PRECONDITION)
    assert available(manager) == [3]
    write(tmp_path, "all {}", 3)  # A first one loads what it labels.
    watch.look()
    for text in ("what", None):
        if text is None:
            write(tmp_path, "specific { versions: 4 }", 4)
        else:
            (tmp_path / "models.config").write_text(text)
        with pytest.raises(Refused):
            watch.look()
        assert (available(manager), stable(manager)) == ([3], 3)
    write(tmp_path, "all {}", 4)
    assert_refused(watch, Code.FAILED_PRECONDITION)
    add(tmp_path, "m", 4)
    assert_refused(watch, Code.FAILED_PRECONDITION)  # By the former one it has been loaded now.
    assert (available(manager), stable(manager)) == ([4, 3], 3)
    watch.look()
    assert stable(manager) == 4
    write(tmp_path, "specific { versions: 4 }", 4)
    watch.look()
    assert available(manager) == [4]


def test_a_configuration_is_in_force_though_a_new_model_does_not_load(
    tmp_path: Path, manager: Any
) -> None:
    watch = _Watch(manager, tmp_path, None)
    add(tmp_path, "m", 3)
    add(tmp_path, "n", 1)
    (tmp_path / "n" / "1" / "broken").touch()
    write(tmp_path, "all {}", 3)
    watch.look()
    write(tmp_path, "all {}", 3, "n")
    assert_refused(watch, Code.UNKNOWN)
    assert manager.unready() == ["n"]
    (tmp_path / "n" / "1" / "broken").unlink()
    watch.look()
    assert manager.unready() == []
    write(tmp_path, "all {}", 3)
    watch.look()
    assert not manager.knows("n")


def test_only_this_machine_is_listened_to_unless_another_address_is_given() -> None:
    assert ipaddress.ip_address(Options().host).is_loopback


def test_no_seconds_in_between_are_one_look_only(tmp_path: Path, manager: Any) -> None:
    watch = _Watch(manager, tmp_path, None)
    thread = threading.Thread(target=watch.run, args=(0.0,), daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
