"""`growgan generate`: images of seeds, from a whole checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.generating.seeds import parse_numbers
from tests.pipeline.cli.commands import Growgan


def test_generate_draws_one_image_a_seed(growgan: Growgan, workspace: Path, tmp_path: Path) -> None:
    sheet, single = tmp_path / "sheet.png", tmp_path / "single.png"
    assert growgan("generate", workspace / "run", "--seeds", "0-15", "--out", sheet).status == 0
    assert growgan("generate", workspace / "run", "--seeds", "5", "--out", single).status == 0
    grid, image = np.asarray(Image.open(sheet)), np.asarray(Image.open(single))
    height, width = image.shape
    assert grid.shape[0] > 4 * height
    # The image of a seed does not depend on its neighbours.
    step_y, step_x = (grid.shape[0] - height) // 3, (grid.shape[1] - width) // 3
    np.testing.assert_array_equal(grid[step_y : step_y + height, step_x : step_x + width], image)


def test_generate_is_what_the_savedmodel_answers(
    growgan: Growgan, workspace: Path, tmp_path: Path
) -> None:
    import tensorflow as tf

    growgan("generate", workspace / "run", "--seeds", "7-9", "--files", tmp_path)
    model = tf.saved_model.load(str(workspace / "run" / "savedmodels" / "8x8" / "256"))
    seed, count = tf.constant(7, tf.int64), tf.constant(3, tf.int64)
    served = model.signatures["generate"](seed=seed, count=count)["images"].numpy()
    drawn = [np.asarray(Image.open(tmp_path / f"seed-0000000{seed}.png")) for seed in (7, 8, 9)]
    np.testing.assert_array_equal(np.stack(drawn), served[..., 0])


def test_a_damaged_newest_checkpoint_is_not_drawn_from(
    growgan: Growgan, workspace: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(workspace / "run", run)
    newest = max((run / "checkpoints").glob("images-*"))
    (newest / "variables.index").write_bytes(b"")
    result = growgan("generate", run, "--out", tmp_path / "grid.png")
    assert result.status == 2
    assert "`growgan train --resume auto` goes back to the one before" in result.err
    assert f"Received: {newest}: variables.index is not what was written" in result.err
    assert not (tmp_path / "grid.png").exists()


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", [3]), ("0-3,8", [0, 1, 2, 3, 8]), (" 2 , 1-1", [2, 1])]
)
def test_seeds_are_parsed(text: str, seeds: list[int]) -> None:
    assert parse_numbers(text) == seeds


def test_what_is_written_and_replaced_is_told(
    growgan: Growgan, workspace: Path, tmp_path: Path
) -> None:
    out = tmp_path / "grid.png"
    command = ("generate", workspace / "run", "--seeds", "0-3", "--out", out)
    assert growgan(*command).out == f"4 images in {out}\n"
    assert growgan(*command).out == f"4 images in {out}, in place of what was there\n"


def test_other_files_than_png_are_refused(growgan: Growgan, workspace: Path) -> None:
    result = growgan("generate", workspace / "run", "--out", "grid.jpg")
    assert (result.status, result.err) == (
        2, "growgan: `--out` must be a file that ends in .png. Received: grid.jpg\n",
    )  # fmt: skip
