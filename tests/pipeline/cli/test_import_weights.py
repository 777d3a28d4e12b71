"""`growgan import`, and what is done with the run that it makes."""

from __future__ import annotations

import json
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.training_run.folder import RunFolder
from pipeline.training_run.networks import SavedNetworks
from tests.pipeline.cli.commands import Growgan

GOLDEN = "progan_16_lod0.4"
SHORT = ("--set", "schedule.hold_images=64", "--set", "schedule.fade_images=64")


def test_a_file_that_would_run_code_is_refused_in_one_line(
    growgan: Growgan, tmp_path: Path
) -> None:
    class Harm:
        def __reduce__(self) -> object:
            return print, ("harm",)

    file = tmp_path / "a.pkl"
    file.write_bytes(pickle.dumps((Harm(), 1, 2)))
    result = growgan("import", file, "--out", tmp_path / "run")
    assert (result.status, result.out) == (2, "")
    [line] = result.err.splitlines()
    assert line.startswith("growgan: official weights must be a pickle of the networks G, D and Gs")
    assert line.endswith("(it names builtins.print)")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_an_imported_run_generates_is_exported_measured_and_trained(
    python: str, shared_folder: Path, tmp_path: Path
) -> None:
    run, picture = tmp_path / "run", tmp_path / "grid.png"
    file = shared_folder / "golden" / f"{GOLDEN}.pkl"
    pictures = np.random.default_rng(0).integers(0, 256, (48, 16, 16, 3), np.uint8)
    np.save(tmp_path / "pictures.npy", pictures)

    def growgan(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [python, "-m", "pipeline.cli", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def do(*arguments: object) -> str:
        result = growgan(*arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout

    out = do(
        "import", file, "--out", run, *SHORT, "--set", f"data.records={tmp_path / 'records'}",
        "--set", "schedule.batch_size=8", "--set", "run.log_images=8",
    )  # fmt: skip
    assert f"{run}, fade_16x16 at 230 images" in out
    do("generate", run, "--seeds", "0-3", "--out", picture)
    assert np.asarray(Image.open(picture)).shape[0] > 2 * 16
    exported = do("export", run)
    assert f"{run}/savedmodels/16x16/230" in exported
    lineage = json.loads((run / "savedmodels/16x16/230/assets.extra/manifest.json").read_text())
    assert lineage["imported"]["file"] == file.name

    source = ("--set", f"data.source={tmp_path / 'pictures.npy'}")
    do("evaluate", run, *source, "--metrics", "swd", "--num-images", "32")
    assert list((run / "evaluations/images-000000230").rglob("scores.json"))
    assert json.loads((run / "manifest.json").read_text())["data"]["hash"] is None

    train = ("train", "--config", run / "config.yaml", *source, "--out", run, "--resume", "must")
    do(*train)
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["images_seen"] == 326  # the first step at which 320 have been seen
    assert manifest["data"]["count"] == 48
    assert manifest["imported"]["file"] == file.name
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert logged[0]["images_seen"] == 238
    assert logged[0]["phase"] == "fade_16x16"

    # Now it has data, and goes on with no other.
    np.save(tmp_path / "pictures.npy", pictures[:40])
    result = growgan(*train)
    assert result.returncode == 2
    assert "a run can only go on with the data it was started with" in result.stderr

    # Another run starts from its weights, and leaves the finest blocks as they are.
    other = tmp_path / "other"
    do(
        *("train", "--config", run / "config.yaml", *source, "--out", other, "--from", run),
        *("--set", "schedule.start_resolution=16", "--set", "schedule.hold_images=16"),
        *("--set", "optimizer.frozen_from=8", "--set", "run.log_images=8"),
    )
    first, second = RunFolder(run), RunFolder(other)
    assert second.manifest()["first_weights"]["images_seen"] == 326
    assert second.manifest()["images_seen"] == 16
    before, after = (
        SavedNetworks(each, each.newest_checkpoint()).discriminator() for each in (first, second)
    )
    for layer in ("16x16_from_rgb", "16x16_conv0", "8x8_conv1", "4x4_conv"):
        kernels = [d.get_layer(f"discriminator_{layer}").kernel.numpy() for d in (before, after)]
        assert np.array_equal(*kernels) == (layer != "4x4_conv"), layer
