"""`growgan evaluate` as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.run_folder import RunFolder
from tests.pipeline.cli.commands import Growgan


def test_evaluate_leaves_scores_pictures_and_a_report(growgan: Growgan, workspace: Path) -> None:
    options = ("--metrics", "swd,ms_ssim", "--num-images", 32)
    result = growgan("evaluate", workspace / "run", *options)
    assert (result.status, result.err) == (0, "")
    folder = workspace / "run" / "evaluations" / "images-000000256" / "pixels"
    scores = json.loads((folder / "scores.json").read_text())
    assert [score["name"] for score in scores["scores"]] == ["swd", "swd_8", "ms_ssim"]
    assert "MS-SSIM" in result.out
    assert f"written: {folder}/report.html" in result.out
    for name in ("samples.png", "best.png", "worst.png", "report.html"):
        assert (folder / name).is_file(), name
    assert any((workspace / "run" / "tensorboard" / "evaluations").iterdir())
    with RunFolder(workspace / "run").alone("evaluated"):
        again = growgan("evaluate", workspace / "run", *options)
    assert again.status == 2
    assert "a run is evaluated by one process at a time" in again.err


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--metrics", "fid"), "growgan: the metric fid needs features, by --features"),
        (("--metrics", "fit"), "growgan: `evaluation.metrics` must be "),
        (("--num-images", 5), "growgan: `evaluation.images` must be "),
        (("--features", "nothing:at/all"), "growgan: features must be one of inception:FILE"),
        (("--checkpoint", 7), "growgan: a checkpoint of the run must be one after "),
        (("--set", "run.seed=3"), "growgan: `--set` must leave alone here what decides"),
    ],
)
def test_evaluate_refuses_what_it_cannot_do(
    growgan: Growgan, workspace: Path, options: tuple[object, ...], line: str
) -> None:
    result = growgan("evaluate", workspace / "run", *options)
    assert result.status == 2
    assert result.err.startswith(line)
    assert result.err.count("\n") == 1
