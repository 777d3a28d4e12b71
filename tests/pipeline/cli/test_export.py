"""`growgan export` as a person uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from savedmodels.layout import LINEAGE
from savedmodels.repository.versions import content_hash, files_of
from tests.pipeline.cli.commands import Growgan


def test_export_writes_a_version_and_keeps_it(
    growgan: Growgan, workspace: Path, tmp_path: Path
) -> None:
    result = growgan("export", workspace / "run", "--out", tmp_path / "model")
    assert result.status == 0
    assert f"SavedModel: {tmp_path / 'model' / '256'}" in result.out
    before = (tmp_path / "model" / "256" / "saved_model.pb").stat().st_mtime_ns
    assert growgan("export", workspace / "run", "--out", tmp_path / "model").status == 0
    assert (tmp_path / "model" / "256" / "saved_model.pb").stat().st_mtime_ns == before


def test_export_takes_a_checkpoint_signatures_and_the_discriminator(
    growgan: Growgan, workspace: Path, tmp_path: Path
) -> None:
    run, out = workspace / "run", tmp_path / "model"
    few = ("--checkpoint", 192, "--signatures", "generate,discriminate", "--discriminator")
    assert growgan("export", run, "--out", out, *few).status == 0
    manifest = json.loads((out / "192" / LINEAGE).read_text())
    assert (manifest["images_seen"], manifest["limit"]) == (192, 256)
    assert manifest["signatures"] == ["discriminate", "generate", "serving_default"]
    again = growgan("export", run, "--out", out, "--checkpoint", 192, "--limit", 20)
    assert (again.status, again.err.count("\n")) == (2, 1)
    assert again.err.startswith("growgan: `--out` must be a folder without this version")
    assert f"{out}/192, whose manifest differs in signatures, limit" in again.err


def test_export_keeps_apart_what_was_made_of_other_weights(
    growgan: Growgan, workspace: Path, tmp_path: Path
) -> None:
    words = ("export", workspace / "run", "--signatures", "generate", "--out", tmp_path)
    assert growgan(*words).status == 0
    manifest = tmp_path / "256" / LINEAGE
    manifest.write_text(manifest.read_text().replace('"config_hash": "', '"config_hash": "0'))
    other = growgan(*words)
    assert other.status == 2
    assert f"{tmp_path}/256, whose manifest differs in config_hash" in other.err


def test_export_limits_requests(growgan: Growgan, workspace: Path, tmp_path: Path) -> None:
    words = ("--signatures", "generate", "--limit", 5)
    assert growgan("export", workspace / "run", "--out", tmp_path, *words).status == 0
    assert json.loads((tmp_path / "256" / LINEAGE).read_text())["limit"] == 5
    import tensorflow as tf

    generate = tf.saved_model.load(tmp_path / "256").signatures["generate"]
    seed = tf.constant(7, tf.int64)
    assert len(generate(seed=seed, count=tf.constant(5, tf.int64))["images"]) == 5
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`count` must be 1 to 5\."):
        generate(seed=seed, count=tf.constant(6, tf.int64))


def test_export_writes_a_file_with_its_lineage(growgan: Growgan, workspace: Path) -> None:
    run = workspace / "run"
    result = growgan("export", run, "--format", "keras")
    assert (result.status, result.out.strip()) == (0, f"keras: {run}/exports/8x8-256.keras")
    assert (run / "exports" / "8x8-256.keras").is_file()
    lineage = json.loads((run / "exports" / "8x8-256.keras.json").read_text())
    assert lineage["images_seen"] == 256


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--signatures", "mix"], "growgan: `--signatures` must be signatures of the model: serv"),
        (["--format", "keras", "--limit", "9"], "need `--format savedmodel`. Received: --format"),
        (["--format", "onnx", "--discriminator"], "need `--format savedmodel`. Received: --format"),
    ],
)
def test_an_export_that_cannot_be_made_is_one_line(
    growgan: Growgan, workspace: Path, options: list[str], line: str
) -> None:
    result = growgan("export", workspace / "run", *options)
    assert (result.status, result.out) == (2, "")
    assert line in result.err
    assert result.err.count("\n") == 1


def test_a_missing_package_is_named(
    growgan: Growgan, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    result = growgan("export", workspace / "run", "--format", "onnx")
    assert result.status == 2
    assert "needs the extra `onnx`: pip install 'growgan[onnx]'. Missing: tf2onnx" in result.err


@pytest.mark.slow
@pytest.mark.new_interpreter
def test_exports_of_one_checkpoint_are_one_content(
    workspace: Path, tmp_path: Path, python: str
) -> None:
    """In a fork and a new interpreter: within one, and its forks, objects keep their addresses."""
    for name, interpreter in (("one", python), ("two", sys.executable)):
        words = ["export", workspace / "run", "--out", tmp_path / name]
        subprocess.run([interpreter, "-m", "pipeline.cli", *words], capture_output=True, check=True)
    one, two = (files_of(tmp_path / name / "256") for name in ("one", "two"))
    assert {name for name in one if one[name] != two[name]} <= {
        "fingerprint.pb",
        LINEAGE.as_posix(),
    }
    assert content_hash(one) == content_hash(two)
