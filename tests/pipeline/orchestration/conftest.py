"""Outcomes of runs of the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.orchestration.outcome import Outcome, Snapshot, Step

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
                Step(name="source_snapshot", state="done", seconds=2.5),
                Step(name="checked_data", state="unchanged", reason="the same pictures"),
            ),
            "source": "photos",
            "snapshot": Snapshot(content_hash="50ce" * 16, images=6500, new=500),
            "data_hash": "da7a" * 16,
            "config_hash": "c0f1" * 16,
            "version": 2,
            "previous_version": 1,
        }
        return Outcome.model_validate({**content, **changes})

    return make
