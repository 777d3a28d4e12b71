"""Images that are no squares, from pictures to a SavedModel, in a family that does not grow."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.pipeline.cli.commands import Growgan
from tests.pipeline.training.runs import assert_same

SHAPE = (12, 20)
WIDE = (
    "--config", "stylegan2-mnist32",
    "--set", "data.labels=false",
    "--set", "network.fmap_max=8",
    "--set", "network.latent_size=8",
    "--set", "network.style_size=8",
    "--set", "schedule.resolution=12",
    "--set", "schedule.start_resolution=12",
    "--set", "schedule.width=20",
    "--set", "schedule.hold_images=32",
    "--set", "schedule.batch_size=8",
    "--set", "augmentation.kind=ada",
    "--set", "run.intra_op_threads=null",
    "--set", "run.log_images=8",
    "--set", "run.sample_images=16",
    "--set", "run.checkpoint_images=16",
)  # fmt: skip


@pytest.fixture(name="pictures")
def _pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(20):
        pixels = draw.integers(0, 256, (30, 60), np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.mark.slow
def test_a_run_on_rectangles(growgan: Growgan, pictures: Path, tmp_path: Path) -> None:
    prepared, run = tmp_path / "set", tmp_path / "run"
    options = ("--resolution", 12, "--width", 20, "--channels", 1)
    result = growgan("data", "prepare", pictures, prepared, *options)
    assert result.status == 0
    assert "--set schedule.start_resolution=12 --set schedule.width=20" in result.out
    assert json.loads((prepared / "manifest.json").read_text())["width"] == 20
    train = ("train", *WIDE, "--data", prepared, "--set", "data.channels=1")
    assert growgan(*train, "--out", run).status == 0

    # Stopped in the middle, it goes on to the same bits.
    again = tmp_path / "again"
    shutil.copytree(run, again)
    shutil.rmtree(max((again / "checkpoints").glob("images-*")))
    assert growgan(*train, "--out", again, "--resume", "must").status == 0
    assert_same(run, again)

    export = run / "savedmodels" / "12x20" / "32"
    assert growgan("generate", run, "--seeds", "3-4", "--files", tmp_path / "files").status == 0
    drawn = [np.asarray(PIL.Image.open(tmp_path / f"files/seed-0000000{n}.png")) for n in (3, 4)]
    import tensorflow as tf

    model = tf.saved_model.load(str(export))
    seed, count = tf.constant(3, tf.int64), tf.constant(2, tf.int64)
    whole = tf.constant(1.0)
    answer = model.signatures["generate"](seed=seed, count=count, truncation=whole)
    served = answer["images"].numpy()
    assert served.shape == (2, *SHAPE, 1)
    np.testing.assert_array_equal(np.stack(drawn), served[..., 0])
    with PIL.Image.open(run / "samples" / "images-000000032.png") as sheet:
        assert sheet.width > sheet.height

    result = growgan("evaluate", run, "--set", "evaluation.images=20")
    assert "SWD at 12 px" in result.out
    assert "MS-SSIM" in result.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("train", "--config", "quickstart", "--set", "schedule.width=64"),
            "`schedule.width` needs images that do not grow",
        ),
        (
            ("data", "prepare", "digits", "set", "--resolution", "48", "--width", "50"),
            "28x28 or 48x64. Received: 48 and 50",
        ),
        (
            ("features", "train", "--data", "digits", "--resolution", "28"),
            "`--resolution` of a classifier must be a power of two from 8 to 1024. Received: 28",
        ),
    ],
)
def test_a_shape_that_cannot_be_is_refused_in_one_line(
    growgan: Growgan, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    out = () if "set" in words else ("--out", tmp_path / "out")
    result = growgan(*words, *out)
    assert result.status == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
