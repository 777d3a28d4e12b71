"""Free memory: what the machine has, within the limits of control groups."""

from __future__ import annotations

import resource
from pathlib import Path

import psutil
import pytest

from pipeline.training.preflight.free_memory import free_address_space, free_in_groups, free_memory


def group(folder: Path, files: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name).write_text(f"{value}\n")


def second(limit: object, held: int, cached: int) -> dict[str, object]:
    statistics = f"anon 7\ninactive_file {cached}\nactive_file 3"
    return {"memory.max": limit, "memory.current": held, "memory.stat": statistics}


def test_limits_of_the_second_version_hold_up_the_tree(tmp_path: Path) -> None:
    groups, mounted = tmp_path / "cgroup", tmp_path / "fs"
    groups.write_text("0::/pod/container\n")
    group(mounted / "pod" / "container", second(1000, 400, 100))
    group(mounted / "pod", second(900, 600, 0))
    group(mounted, {"memory.stat": "inactive_file 1"})  # The root has no limit.
    assert free_in_groups(groups, mounted) == [700, 300]


def test_no_limit_is_none(tmp_path: Path) -> None:
    groups, mounted = tmp_path / "cgroup", tmp_path / "fs"
    groups.write_text("0::/\n")
    group(mounted, second("max", 400, 100))
    assert free_in_groups(groups, mounted) == []
    assert free_in_groups(tmp_path / "none", mounted) == []


def test_limits_of_the_first_version(tmp_path: Path) -> None:
    groups, mounted = tmp_path / "cgroup", tmp_path / "fs"
    groups.write_text("5:devices:/\n4:memory:/job\n0::/\n")
    files = {"memory.limit_in_bytes": 500, "memory.usage_in_bytes": 200}
    group(mounted / "memory" / "job", {**files, "memory.stat": "cache 9\ninactive_file 50"})
    assert free_in_groups(groups, mounted) == [350]


def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    groups, mounted = tmp_path / "cgroup", tmp_path / "fs"
    groups.write_text("0::/../outside\n4:memory:/docker/abc\n")
    group(mounted / "memory", {"memory.limit_in_bytes": 500, "memory.usage_in_bytes": 200})
    group(mounted / "memory", {"memory.stat": "inactive_file 0"})
    assert free_in_groups(groups, mounted) == [300]


@pytest.mark.gpu
def test_free_memory_of_a_gpu() -> None:
    free = free_memory()
    assert free is not None
    assert free > 2**28


def test_free_memory_is_no_more_than_the_machine_has() -> None:
    free = free_memory()
    assert free is not None
    assert 0 < free <= psutil.virtual_memory().total


def test_a_limit_of_addresses_leaves_what_is_not_taken_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by `ulimit -v`; beyond it TensorFlow ends a process by a signal."""
    taken = psutil.Process().memory_info().vms + 2**29
    for limit, free in ((taken + 1000 * 2**20, 1000 * 2**20), (1, 0)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        [found] = free_address_space()
        assert abs(found - free) < 100 * 2**20
        assert (free_memory() or 0) <= found
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert free_address_space() == []
