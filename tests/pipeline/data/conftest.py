"""Small pictures on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest


@pytest.fixture
def draw() -> Callable[..., PIL.Image.Image]:
    """Make a random picture: `draw(width, height, mode, seed)`."""

    def random_picture(
        width: int = 12, height: int = 10, mode: str = "RGB", seed: int = 0
    ) -> PIL.Image.Image:
        values = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
        return PIL.Image.fromarray(values, "RGBA" if mode == "CMYK" else None).convert(mode)

    return random_picture


@pytest.fixture
def labelled_folder(tmp_path: Path, draw: Callable[..., PIL.Image.Image]) -> Path:
    """Make five pictures in the class folders `cat` and `dog`, beside files that are none."""
    folder = tmp_path / "pets"
    for seed, name in enumerate(["dog/b.png", "dog/a.JPG", "cat/z.webp", "cat/y.bmp", "cat/x.gif"]):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        draw(seed=seed).save(file)
    (folder / "dataset.json").write_text("{}")
    (folder / "cat" / "LICENCE.txt").write_text("free")
    (folder / "cat" / "._x.png").write_text("resource fork")
    return folder
