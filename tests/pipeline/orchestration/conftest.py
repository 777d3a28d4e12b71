"""Outcomes of runs of the pipeline, and databases of Dagster."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance
from sqlalchemy import event
from sqlalchemy.engine import Engine

from pipeline.orchestration.runs.outcome import Outcome, SnapshotSummary, StepResult

BEGIN = datetime(2026, 5, 4, 2, tzinfo=UTC)


@pytest.fixture(scope="session")
def outcome_of() -> Callable[..., Outcome]:
    """Make an outcome: that of a promoted run, but for what is given."""

    def make(day: int = 0, **changes: Any) -> Outcome:
        content: dict[str, Any] = {
            "run": f"run-{day}",
            "model": "faces",
            "trigger": "schedule",
            "started": BEGIN + timedelta(days=day),
            "ended": BEGIN + timedelta(days=day, minutes=71),
            "verdict": "promoted",
            "reason": "every rule of the gate is kept",
            "steps": (
                StepResult(name="source_snapshot", state="done", seconds=2.5),
                StepResult(name="checked_data", state="unchanged", reason="the same pictures"),
            ),
            "source": "photos",
            "snapshot": SnapshotSummary(content_hash="50ce" * 16, images=6500, new=500),
            "data_hash": "da7a" * 16,
            "config_hash": "c0f1" * 16,
            "version": 2,
            "previous_version": 1,
        }
        return Outcome.model_validate({**content, **changes})

    return make


def _do_not_sync(connection: Any, _: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")


@pytest.fixture(scope="session", autouse=True)
def _unsynced() -> Iterator[None]:
    """Let databases of this process not wait for the disk: no test cuts the power."""
    event.listen(Engine, "connect", _do_not_sync)
    yield
    event.remove(Engine, "connect", _do_not_sync)


@pytest.fixture(scope="session")
def new_databases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """Give a folder the empty databases of a Dagster instance.

    To make them takes three times as long as to copy them.
    """
    made = tmp_path_factory.mktemp("dagster")
    silent = {"telemetry": {"enabled": False}}
    with DagsterInstance.local_temp(str(made), overrides=silent) as instance:
        assert not instance.get_runs()

    def copy(folder: Path) -> None:
        shutil.copytree(made, folder, dirs_exist_ok=True)

    return copy
