"""`growgan verify` as a person, or a pipeline, uses it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import cli, exit_status
from savedmodels.layout import GOLDEN
from tests.pipeline.cli.commands import Growgan


@pytest.fixture
def verify(growgan: Growgan) -> Growgan:
    """Run `growgan verify` in this process."""
    return partial(growgan, "verify")


@pytest.mark.usefixtures("only_c_api")
def test_an_export_passes(verify: Growgan, exported: Path) -> None:
    result = verify(exported, "--runs", 2)
    assert (result.status, result.err) == (0, "")
    begun, ended, size, operations, generate, default, loaded, *latencies, verdict = (
        result.out.splitlines()
    )
    assert (begun, ended) == (f"verifying {exported}: 0/1", f"verifying {exported}: 1/1")
    assert size.startswith("size: 0.")
    assert "RestoreV2 1" in operations
    assert generate.endswith(" → images uint8 (?, 8, 8, 3)")
    assert default == (
        "serving_default: labels float32 (?, 3), latents float32 (?, 6) → images "
        "float32 (?, 8, 8, 3)"
    )
    assert loaded.startswith("C API: loaded in ")
    told = sorted(line.split(": median ")[0] for line in latencies)
    assert told == ["generate", "serving_default"]
    assert all(line.endswith(" in 2 runs") for line in latencies)
    assert verdict == (
        f"verify: {exported} passed: every answer equals that of the export, bit for bit"
    )


@pytest.mark.usefixtures("only_c_api")
def test_a_failure_has_a_status_of_its_own(verify: Growgan, exported: Path, tmp_path: Path) -> None:
    from savedmodels import golden

    folder = Path(shutil.copytree(exported, tmp_path / "7"))
    requests = golden.read(folder / GOLDEN)
    requests["serving_default"].outputs["images"][0, 0, 0, 0] += 0.25
    golden.write(folder / GOLDEN, requests, golden.read_origin(folder / GOLDEN))
    result = verify(folder, "--runs", 1)
    assert result.status == exit_status.VERIFY
    [failure] = [line for line in result.out.splitlines() if line.startswith("FAIL")]
    text = "1 of 576 values differ, by 0.25 at most"
    assert failure == f"FAIL  serving_default/images: {text} (C API)"
    said = (
        "growgan: a SavedModel must answer as at its export, by every loader. Received: "
        f"{folder}, which fails: serving_default/images: {text} (C API)\n"
    )
    assert result.err == said
    assert result.out.splitlines()[-1] == f"verify: {folder} failed"
    result = verify(folder, "--runs", 1, "--json")
    assert (result.status, result.err) == (exit_status.VERIFY, said)
    content = json.loads(result.out)
    assert content["passed"] is False
    assert content["problems"] == [
        {"text": text, "loader": "C API", "signature": "serving_default", "output": "images"}
    ]
    assert content["loadings"][0]["loader"] == "C API"
    assert content["latencies"]["generate"]["runs"] == 1


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda folder: None, "a SavedModel must be a folder with saved_model.pb"),
        (lambda folder: folder.mkdir(), "a SavedModel must be a folder with saved_model.pb"),
        (lambda folder: folder.write_text("x"), "a SavedModel must be a folder with saved_model"),
    ],
)
def test_what_is_no_savedmodel_is_one_line(
    verify: Growgan, tmp_path: Path, make: Callable[[Path], Any], text: str
) -> None:
    make(tmp_path / "it")
    result = verify(tmp_path / "it")
    assert (result.status, result.out) == (2, "")
    [line] = result.err.splitlines()
    assert line.startswith(f"growgan: {text}")


@pytest.mark.usefixtures("only_c_api")
def test_a_model_without_golden_requests_is_only_loaded(
    verify: Growgan, exported: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "7"))
    (folder / GOLDEN).unlink()
    result = verify(folder)
    assert (result.status, result.out) == (2, "")
    assert result.err == (
        f"growgan: {folder} has no golden requests ({GOLDEN}): export it again, or pass "
        "--without-golden to load it without comparing answers\n"
    )
    result = verify(folder, "--without-golden")
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines()[-1].endswith("no recorded answers were there to compare with")


@pytest.mark.slow
@pytest.mark.new_interpreter
def test_verified_in_a_process_of_its_own(exported: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.cli", "verify", os.path.relpath(exported, tmp_path)]
    root = Path(cli.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    ended = subprocess.run(
        [*command, "--runs", "2", "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr == ""
    content = json.loads(ended.stdout)
    assert content["passed"] is True
    assert [each["loader"] for each in content["loadings"]] == [
        "saved_model.load",
        "session loader",
        "C API",
    ]


@pytest.mark.slow
def test_saved_model_cli_shows_and_runs_it(python: str, exported: Path, tmp_path: Path) -> None:
    from savedmodels import golden

    def saved_model_cli(*words: object) -> str:
        command = [python, "-m", "tensorflow.python.tools.saved_model_cli", *map(str, words)]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    shown = saved_model_cli("show", "--dir", exported, "--all")
    assert "signature_def['serving_default']" in shown
    assert "signature_def['generate']" in shown
    assert "shape: (-1, 8, 8, 3)" in shown
    request = golden.read(exported / GOLDEN)["serving_default"]
    np.savez(tmp_path / "inputs.npz", **request.inputs)
    given = ";".join(f"{name}=inputs.npz[{name}]" for name in request.inputs)
    words = ["--signature_def", "serving_default", "--inputs", given, "--outdir", "out"]
    saved_model_cli("run", "--dir", exported, "--tag_set", "serve", *words)
    np.testing.assert_array_equal(np.load(tmp_path / "out/images.npy"), request.outputs["images"])
