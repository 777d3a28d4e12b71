"""Short runs on digits, of 4,000 images: each objective must bring the generator nearer to them."""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
SCRIPT = ROOT / "tests" / "benchmarks" / "fid_digits.py"
RECIPES = runpy.run_path(str(SCRIPT))["RECIPES"]
ALWAYS = ("wasserstein, two-sided", "relativistic hinge, R1")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.thorough) for name in RECIPES],
)
def test_a_short_run_improves_the_distance_to_the_digits(
    python: str, name: str, tmp_path: Path
) -> None:
    command = [python, str(SCRIPT), name, "--images", "4000", "--out", str(tmp_path)]
    environment = {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    before, after = map(float, result.stdout.splitlines()[-1].removeprefix(name).split())
    assert after < before / 2
