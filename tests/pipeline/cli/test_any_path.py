"""Runs, sets, features and exports in folders with any names, from training to a verified model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.cli.commands import TINY, Growgan

pytestmark = pytest.mark.slow

SHORT = (*TINY, "--set", "schedule.hold_images={4: 32, 8: 32}", "--set", "schedule.fade_images=32")


@pytest.mark.parametrize("name", ["faces [v2]", r"x[/y]\1 #2 of my pictures"])
def test_a_run_becomes_a_model_that_is_verified(
    growgan: Growgan, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    run, records, models = folder / "run", folder / "records", folder / "models"
    given = (*SHORT, "--set", f"data.records='{records}'", "--out", run)
    begun = growgan("train", *given, "--until-resolution", 4)
    assert (begun.status, begun.err) == (0, "")
    ended = growgan("train", *given, "--resume", "auto")
    assert (ended.status, ended.err) == (0, "")
    for told in (f"picture grid: {run}/", f"TensorBoard: {run}/tensorboard"):
        assert told in ended.out
    for command in (
        ("generate", run, "--seeds", "0-3", "--out", folder / "grid.png"),
        ("export", run, "--out", models),
        ("verify", models / "96"),
        ("evaluate", run, "--metrics", "swd", "--num-images", 100),
    ):
        result = growgan(*command)
        assert (result.status, result.err) == (0, ""), command
    assert (folder / "grid.png").exists()
