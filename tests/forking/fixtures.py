"""Fixtures that run programs of this project as forks of one process."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.forking.starting import forking_interpreter


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A stand-in for the interpreter: `[python, "-m", "pipeline.cli", …]` starts in 0.1 s."""
    with forking_interpreter(tmp_path_factory.mktemp("forking")) as path:
        yield path


@pytest.fixture
def forked(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `sys.executable` that stand-in, for this test and for what it calls."""
    monkeypatch.setattr(sys, "executable", python)
