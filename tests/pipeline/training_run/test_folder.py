"""The folder of a run: what is found where, and what its lineage is made of."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.errors import UserError
from pipeline.loading import load
from pipeline.training_run.folder import RunFolder

RECORDS = SimpleNamespace(data_hash="da7a", count=1, classes=(), skipped=())


def config_hash(path: Path, *overrides: str) -> str:
    """Start a run; the hash of its configuration."""
    run = RunFolder(path)
    run.start(load("quickstart", overrides), RECORDS, resume="never")
    return run.manifest()["config_hash"]


def test_the_lineage_has_the_hash_of_what_changes_the_result(tmp_path: Path) -> None:
    first = config_hash(tmp_path / "a")
    assert config_hash(tmp_path / "b", "gate.max_fid=3", "alarms.patience=9") == first
    assert config_hash(tmp_path / "c", "run.seed=9") != first


def test_a_run_goes_on_under_another_gate(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "a")
    run.start(load("quickstart"), RECORDS, resume="never")
    run.start(load("quickstart", ["gate.min_recall=0.5"]), RECORDS, resume="must")


def test_a_configuration_is_read_with_overrides(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "a")
    run.start(load("quickstart"), RECORDS, resume="never")
    assert run.config(["gate.max_fid=7"]).gate.max_fid == 7
    assert run.config() == load("quickstart")
    with pytest.raises(UserError, match=r"`gate\.max_fid` must be"):
        run.config(["gate.max_fid=low"])


def test_a_run_is_evaluated_while_it_is_trained(tmp_path: Path) -> None:
    """Neither takes what the other is writing for remains of one that was killed."""
    run = RunFolder(tmp_path)
    remains = {
        "trained": run.path / "checkpoints" / ".images-000000008.0123abcd.tmp",
        "evaluated": run.evaluation(8) / "pixels" / ".scores.json.0123abcd.tmp",
    }
    events = run.tensorboard / ".evaluations.0123abcd.tmp"
    for path in (*remains.values(), events):
        path.parent.mkdir(parents=True)
        path.write_text("half")
    with run.alone("trained"):
        assert [path.exists() for path in (*remains.values(), events)] == [False, True, True]
        remains["trained"].write_text("half")
        with run.alone("evaluated"):
            assert [path.exists() for path in (*remains.values(), events)] == [True, False, False]
            rule = "a run is evaluated by one process at a time"
            with pytest.raises(UserError, match=rule), run.alone("evaluated"):
                pass


def test_evaluations_are_found_by_number(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.evaluated() == []
    for images_seen in (5, 1_234_567_890, 40):
        run.evaluation(images_seen).mkdir(parents=True)
    (run.evaluations / ".images-000000007.0123abcd.tmp").mkdir()
    assert run.evaluated() == [5, 40, 1_234_567_890]
    assert run.evaluation(5).name == "images-000000005"


def test_the_newest_export_has_seen_the_most_images(run_with, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a run folder holds a config\.yaml"):
        RunFolder(tmp_path).newest_export()
    run = run_with(tmp_path / "run")
    with pytest.raises(UserError, match="a run must have a SavedModel first"):
        run.newest_export()
    for name in ("4x4/900", "8x8/1000", "16x16/1000", "16x16/.2000.0123abcd.tmp", "other/3000"):
        (run.savedmodels / name).mkdir(parents=True)
    assert run.newest_export() == run.savedmodels / "16x16" / "1000"
