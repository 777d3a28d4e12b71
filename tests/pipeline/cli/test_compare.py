"""`growgan compare` as a person uses it."""

from __future__ import annotations

import io
import json
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from rich.text import Text

from pipeline.cli.score_tables import show_comparison, show_scores
from pipeline.evaluation.comparison import compare as compare_runs
from pipeline.evaluation.comparison import read_entrants
from tests.pipeline.cli.commands import Growgan


@pytest.fixture
def compare(growgan: Growgan) -> Growgan:
    """Run `growgan compare` in this process."""
    return partial(growgan, "compare")


@pytest.fixture(scope="module")
def runs(evaluated, run_with, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs that compare, and one on other data."""
    folder = tmp_path_factory.mktemp("runs")
    history = [evaluated(n, scores={"fid": 1e4 / n, "swd_64": 2.0}) for n in (1000, 2000)]
    features_before = evaluated(500, features=None)
    return [
        run_with(folder / "first", features_before, *history).path,
        run_with(folder / "[red]", evaluated(90_000), overrides=("run.seed=3",)).path,
        run_with(folder / "other", evaluated(data_hash="beef" * 16)).path,
    ]


def test_a_table_has_a_column_for_each_run(compare: Growgan, runs, tmp_path: Path) -> None:
    out = tmp_path / "new" / "curves.png"
    result = compare(*runs, "--out", out)
    assert (result.status, result.err) == (0, "")
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in
             result.out.splitlines()]  # fmt: skip
    for row in (
        [str(run) for run in runs],
        ["images seen", "2,000", "90,000", "1,000"],
        ["minutes of training", "3.3", "150.0", "1.7"],
        ["data", "da7ada7ada7a", "da7ada7ada7a", "beefbeefbeef"],
        ["features", *["lenet 1a2b1a2b1a2b"] * 3],
        ["FID", "5", "3 (2.5 to 3.5)", "3 (2.5 to 3.5) ≠"],
        ["SWD at 64 px", "2"],
        ["Recall", "0.5 (0.45 to 0.55)", "0.5 (0.45 to 0.55) ≠"],
        ["run.seed", "0", "3", "0"],
        [f"≠ {runs[2]}, FID, Recall: other data, beefbeefbeef instead of da7ada7ada7a"],
        [f"curves: {out}"],
        [f"{runs[0]}: 2 of 3 evaluations compare and are drawn"],
        [f"{runs[2]}: 0 of 1 evaluations compare and are drawn"],
    ):
        assert row in cells
    with Image.open(out) as image:
        assert image.format == "PNG"


def test_json_is_all_that_is_printed(compare: Growgan, runs, tmp_path: Path) -> None:
    out = tmp_path / "curves.png"
    result = compare(*runs[:2], "--json", "--out", out)
    assert (result.status, result.err) == (0, "")
    content = json.loads(result.out)
    assert [run["run"] for run in content["runs"]] == [str(run) for run in runs[:2]]
    assert content["config"] == {"run.seed": [0, 3]}
    assert out.is_file()


def test_without_an_fid_no_picture_is_written(
    compare: Growgan, evaluated, run_with, tmp_path: Path
) -> None:
    run = run_with(tmp_path / "run", evaluated(scores={"recall": 0.5}))
    result = compare(run.path, "--out", tmp_path / "curves.png")
    assert result.status == 0
    assert "curves: none, as no run has an FID" in result.out
    assert not (tmp_path / "curves.png").exists()


def test_mistakes_are_one_line_and_status_2(
    compare: Growgan, runs, run_with, tmp_path: Path
) -> None:
    unscored = run_with(tmp_path / "unscored").path
    (tmp_path / "file").touch()
    for arguments, message in (
        ([runs[0], runs[0]], "each run must be named once. Received: "),
        ([runs[0], tmp_path / "none"], "a run folder holds a config.yaml. Received: "),
        ([runs[0], unscored], "a run must be evaluated first, by `growgan evaluate`. Received: "),
        ([runs[0], "--out", tmp_path / "file" / "a.png"], "could not be read or written"),
        ([], "runs"),
    ):
        result = compare(*arguments)
        assert result.status == 2
        assert result.out == ""
        assert message in result.err
        assert result.err.count("\n") == 1


def test_a_terminal_gets_tables_of_its_width(runs) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=60)
    show_comparison(console, compare_runs(read_entrants(runs[:2])))
    shown = Text.from_ansi(file.getvalue()).plain.splitlines()
    assert 40 < max(map(len, shown)) <= 60
    assert any(line.split() == ["run.seed", "0", "3"] for line in shown)


def test_scores_are_a_table(evaluated) -> None:
    file = io.StringIO()
    evaluation = evaluated(scores={"fid": (3.25, 3.0, 3.5), "swd_64": 2.0})
    show_scores(Console(file=file, width=20), evaluation)
    lines = [line.split() for line in file.getvalue().splitlines()]
    assert lines == [
        ["score", "value", "95", "%", "interval", "images"],
        ["FID", "3.25", "3", "to", "3.5", "10000"],
        ["SWD", "at", "64", "px", "2", "10000"],
        ["features:", "lenet", "1a2b1a2b1a2b"],
    ]
