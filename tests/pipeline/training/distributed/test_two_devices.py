"""Two devices update as one does, under every objective."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.training.steps import CASES

CHOSEN = ("relativistic_hinge", "clip_norm", "lazy", "everything")
"""Objectives in which samples of two devices meet, each in another way."""
OTHERS = tuple(name for name in CASES if name not in CHOSEN)


def differences_of_replicas(
    python: str, folder: Path, cases: list[Any], *arguments: str
) -> list[dict[str, Any]]:
    script = Path(__file__).with_name("compare_replicas.py")
    given, found = folder / "cases.json", folder / "found.json"
    given.write_text(json.dumps(cases))
    root = Path(__file__).parents[4]
    command = [python, str(script), str(given), str(found), *arguments]
    environment = {"PYTHONPATH": str(root), "CUDA_VISIBLE_DEVICES": "-1"}
    subprocess.run(command, check=True, capture_output=True, cwd=root, env=environment)
    results: list[dict[str, Any]] = json.loads(found.read_text())
    return results


def assert_replicas_agree(
    python: str, folder: Path, cases: Mapping[str, Any], *arguments: str
) -> None:
    results = differences_of_replicas(python, folder, list(cases.values()), *arguments)
    for name, result in zip(cases, results, strict=True):
        assert result["apart"] < 1e-3 * result["moved"], (name, result)
        one, two = result["metrics"]
        for metric in one:
            # Without clipping, the norm logged is the mean of the replicas' norms.
            if not metric.endswith("gradient_norm"):
                assert one[metric] == pytest.approx(two[metric], rel=1e-4, abs=1e-5), (name, metric)


def test_two_devices_update_as_one_does(python: str, tmp_path: Path) -> None:
    objective = {"loss": "relativistic_logistic", "penalty": "none"}
    assert_replicas_agree(
        python, tmp_path, {"relativistic, clipped": (objective, {"clip_norm": 0.1})}
    )


@pytest.mark.slow
@pytest.mark.parametrize("names", [CHOSEN, pytest.param(OTHERS, marks=pytest.mark.thorough)])
def test_two_devices_update_as_one_does_under_every_objective(
    python: str, tmp_path: Path, names: tuple[str, ...]
) -> None:
    assert_replicas_agree(python, tmp_path, {name: CASES[name] for name in names})


@pytest.mark.slow
@pytest.mark.thorough
def test_so_do_two_devices_that_divide_their_shares(python: str, tmp_path: Path) -> None:
    assert_replicas_agree(python, tmp_path, {name: CASES[name] for name in CHOSEN}, "4")
