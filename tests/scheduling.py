"""Give tests that share what is dear to make to one process of pytest-xdist.

Its own `loadgroup` writes groups into the ids of tests, which pytest 9.2 does not let it do
(pytest-xdist 3.8). So the processes that collect write them to a file, which the scheduler reads.
"""

from __future__ import annotations

import json
import os
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

FILE = "GROWGAN_TEST_GROUPS"
"""Environment variable with the path of that file, for the processes of one test run."""


def group_of(item: pytest.Item, shared: list[str]) -> str:
    """Name the group of a test, all of which runs in one process.

    Args:
        item: The test.
        shared: Session fixtures whose tests are one group each, over all files.
    """
    used = [name for name in shared if name in getattr(item, "fixturenames", ())]
    if used:
        return used[0]
    definitions = getattr(item, "_fixtureinfo", None)
    found = definitions.name2fixturedefs.values() if definitions else ()
    of_module = any(each[-1].scope == "module" for each in found if each)
    # A slow test by itself, so that no process is left with a long file at the end.
    alone = item.get_closest_marker("slow") is not None and not of_module
    return item.nodeid if alone else item.nodeid.partition("::")[0]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        descriptor, os.environ[FILE] = tempfile.mkstemp(prefix="growgan-groups-", suffix=".json")
        os.close(descriptor)


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        Path(os.environ.pop(FILE)).unlink(missing_ok=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Write down the groups, in each process the same."""
    if hasattr(config, "workerinput"):
        plugins = config.pluginmanager.get_plugins()
        named = {name for plugin in plugins for name in getattr(plugin, "SHARED_FIXTURES", ())}
        groups = {item.nodeid: group_of(item, sorted(named)) for item in items}
        file = Path(os.environ[FILE])
        whole = file.with_suffix(f".{os.getpid()}")
        whole.write_text(json.dumps(groups))
        whole.replace(file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Schedule by these groups."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        """Hand out groups, those of many tests first."""

        @cached_property
        def _groups(self) -> dict[str, str]:
            return json.loads(Path(os.environ[FILE]).read_text())

        def _split_scope(self, nodeid: str) -> str:
            return self._groups[nodeid]

    return Groups(config, log) if config.getvalue("dist") == "loadgroup" else None
