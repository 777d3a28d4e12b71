"""Runs that were evaluated, made of nothing but their files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.evaluation.scores import Evaluation, write_scores
from pipeline.loading import load
from pipeline.training_run.folder import RunFolder

FEATURES = {"name": "lenet", "identity": "1a2b" * 16, "protocol": {"resize": "none"}}
IMAGES = {"images": 10_000, "references": 60_000}


def make_evaluation(
    images_seen: int = 1000,
    *,
    scores: dict[str, Any] | None = None,
    protocol: dict[str, Any] = IMAGES,
    data_hash: str = "da7a" * 16,
    **changes: Any,
) -> Evaluation:
    """Make an evaluation; a score is a value, or a value and the ends of its interval."""
    scores = {"fid": (3.0, 2.5, 3.5), "recall": (0.5, 0.45, 0.55)} if scores is None else scores
    tuples = {name: each if isinstance(each, tuple) else (each,) for name, each in scores.items()}
    content = {
        "schema": 1,
        "run": "runs/a",
        "checkpoint": f"images-{images_seen:09d}",
        "images_seen": images_seen,
        "created": datetime(2026, 5, 4, 12, tzinfo=UTC),
        "seconds": images_seen / 10,
        "lineage": {
            "data_hash": data_hash,
            "config_hash": "c0f1" * 16,
            "checkpoint_hash": "c4ec" * 16,
            "growgan": "0.1.0",
            "packages": {"numpy": "2.4.6"},
        },
        "features": FEATURES,
        "scores": [
            {"name": name, "protocol": protocol, "value": each[0]}
            | ({"low": each[1], "high": each[2]} if len(each) > 1 else {})
            for name, each in tuples.items()
        ],
    }
    return Evaluation.model_validate({**content, **changes})


@pytest.fixture(scope="session", autouse=True)
def _one_process() -> Iterator[None]:
    """Read pictures in this process; on a busy machine a few would seem worth several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.data.workers.WORTH_SHARING", float("inf"))
        yield


@pytest.fixture(scope="session")
def evaluated() -> Callable[..., Evaluation]:
    """Make an evaluation."""
    return make_evaluation


@pytest.fixture(scope="session")
def run_with() -> Callable[..., RunFolder]:
    """Make a run of a configuration, with evaluations and what it has logged."""

    def make(
        path: Path, *evaluations: Evaluation, overrides: tuple[str, ...] = (), entries: int = 0
    ) -> RunFolder:
        path.mkdir(parents=True)
        config = load("quickstart", overrides).model_dump(mode="json")
        (path / "config.yaml").write_text(yaml.safe_dump(config))
        run = RunFolder(path)
        for evaluation in evaluations:
            write_scores(run, evaluation)
        lines = (
            {
                "images_seen": 100 * (n + 1),
                "phase": "hold_4x4",
                "critic_loss": 10 / (n + 1),
                "generator_loss": -1.0 / (n + 1),
                "diversity": 0.9,
                "resolution": 4.0 if n < entries / 2 else 8.0,
                "alpha": 1.0,
            }
            for n in range(entries)
        )
        run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return run

    return make
