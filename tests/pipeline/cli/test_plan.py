"""`growgan train --dry-run`: what a run will take."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.cli import plan
from tests.pipeline.cli.commands import TINY, Growgan


@pytest.mark.usefixtures("forked")
def test_a_dry_run_tells_what_every_phase_takes_and_writes_nothing(
    growgan: Growgan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plan, "SECONDS", 0.0)
    result = growgan("train", *TINY, "--set", "data.labels=true", "--dry-run")
    assert (result.status, result.err) == (0, "")
    lines = [line.split() for line in result.out.splitlines()]
    assert ["hold_4x4", "64", "9"] in [line[:3] for line in lines]
    assert ["fade_8x8", "96", "11"] in [line[:3] for line in lines]
    assert ["hold_8x8", "96", "12"] in [line[:3] for line in lines]
    assert ["in", "all", "256", "32"] in [line[:4] for line in lines]
    assert re.search(r"measured: fade_8x8, \d\.\d\d GiB \(estimated \d\.\d\d\), ", result.out)
    assert re.search(r"free: \d+\.\d GiB", result.out)
    assert not list(tmp_path.iterdir())


def test_a_dry_run_of_workers_or_a_tpu_tells_estimates_where_nothing_can_be_measured(
    growgan: Growgan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    result = growgan("train", *TINY, "--set", "run.strategy=tpu", "--dry-run")
    assert (result.status, result.err) == (0, "")
    assert "in all" in result.out
    assert "measured" not in result.out
    # Too much for each of two that share it, and its share of the batch is half.
    arguments = ("--workers", "2", "--set", "run.memory_gib=0.2", "--dry-run")
    result = growgan("train", *TINY, *arguments)
    assert result.status == 2
    assert "with 4 images at once; no `run.micro_batch` would fit" in result.err
    assert not list(tmp_path.iterdir())


def test_a_dry_run_of_what_cannot_fit_ends_with_status_2(growgan: Growgan) -> None:
    result = growgan("train", *TINY, "--set", "run.memory_gib=0.2", "--dry-run")
    assert result.status == 2
    assert "fade_8x8" in result.out
    assert "measured" not in result.out
    assert result.err.startswith("growgan: every phase must fit in the 0.2 GiB")
    assert result.err.count("\n") == 1
