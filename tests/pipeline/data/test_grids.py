"""Sheets of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.grids import GAP, GAP_VALUE, tile, write_png


def test_images_stand_in_rows_with_gaps() -> None:
    images = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 40, 40, 3), np.uint8)
    sheet = tile(images, columns=2)
    assert sheet.shape == (80 + GAP, 80 + GAP, 3)
    assert sheet[0, 0, 0] == 0
    assert sheet[0, 40 + GAP, 0] == 1
    assert sheet[40 + GAP, 0, 0] == 2
    assert sheet[-1, -1, 0] == sheet[0, 40, 0] == GAP_VALUE


def test_small_images_are_enlarged_by_whole_pixels() -> None:
    image = np.array([[0, 100], [200, 50]], np.uint8)[None, ..., None]
    assert tile(image).shape == (32, 32, 1)
    np.testing.assert_array_equal(
        tile(image, size=4)[..., 0], image[0, ..., 0].repeat(2, axis=0).repeat(2, axis=1)
    )


def test_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        tile(np.zeros((0, 4, 4, 1), np.uint8))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_the_pixels(tmp_path: Path, channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 6, channels), np.uint8)
    write_png(tmp_path / "new" / "image.png", image)
    read = np.asarray(Image.open(tmp_path / "new" / "image.png"))
    np.testing.assert_array_equal(read.reshape(image.shape), image)
