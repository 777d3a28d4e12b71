"""`growgan evaluate` as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.evaluation.scores import read_scores
from pipeline.training_run.folder import RunFolder
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
        (("--set", "run.seed=3"), "growgan: `--set` must not change settings that decide"),
    ],
)
def test_evaluate_refuses_what_it_cannot_do(
    growgan: Growgan, workspace: Path, options: tuple[object, ...], line: str
) -> None:
    result = growgan("evaluate", workspace / "run", *options)
    assert result.status == 2
    assert result.err.startswith(line)
    assert result.err.count("\n") == 1


def test_a_run_is_measured_on_other_pictures_without_a_trace_in_it(
    growgan: Growgan, workspace: Path, tmp_path: Path
) -> None:
    run, file = workspace / "run", tmp_path / "scores.json"
    other = ("--set", "data.source=glyphs:8x40", "--metrics", "swd", "--num-images", 32)
    refused = growgan("evaluate", run, *other)
    assert refused.status == 2
    assert "a run must be measured on the data that it was trained on" in refused.err
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    result = growgan("evaluate", run, *other, "--elsewhere", file)
    assert (result.status, result.err) == (0, "")
    assert result.out.endswith(f"written: {file}\n")
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    scores = read_scores(file)
    assert [score.name for score in scores.scores] == ["swd", "swd_8"]
    assert scores.lineage.data_hash != RunFolder(run).manifest()["data"]["hash"]
