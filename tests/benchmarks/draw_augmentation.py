"""Draw what each augmentation makes of real pictures, and what a whole pipeline makes of them.

    python tests/benchmarks/draw_augmentation.py flowers128.zip sheet.png [--size 64]
        [--pictures 229 382 688 1299 1605 1911 2370 3287]

Above, the transforms, each alone and at p = 1, of the same two pictures in pairs; below, the
pipeline `bgc` at growing p, of eight pictures side by side. The names of the pictures are printed.
Colours are reduced to 256, which keeps the file small.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from pipeline.config import PIPELINES, AugmentationConfig, DataConfig
from pipeline.data.conversion import to_pixels
from pipeline.data.sources import open_source

PAIRS, WIDTH = 4, 8
GAP, LABEL = 2, 14
PIPELINE = "bgc"
PROBABILITIES = (0.0, 0.2, 0.5, 0.8)


def pictures(source: str, numbers: list[int] | None, size: int) -> np.ndarray:
    """From -1 to 1; spread evenly over the set if no numbers are given."""
    found = open_source(source)
    spread = np.linspace(0, len(found) - 1, WIDTH).astype(int).tolist()
    chosen = [found[number] for number in numbers or spread]
    print(*(picture.name for picture in chosen), sep="\n")
    squares = [to_pixels(picture.read(), DataConfig(), (size, size)) for picture in chosen]
    return np.stack(squares).astype(np.float32) / 127.5 - 1


def augmented(images: np.ndarray, settings: AugmentationConfig, p: float, seed: int) -> np.ndarray:
    import tensorflow as tf

    from pipeline.augmentation.augment import augment, draws

    drawn = draws(tf.constant([seed, 0]), images.shape, settings)
    return augment(tf.constant(images), drawn, tf.constant(p), settings).numpy()


def pairs(images: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Each transform's name and what it makes of two pictures."""
    names = PIPELINES["bgcfnc"]
    yield "as they are", images
    for seed, name in enumerate(names, start=1):
        left_out: dict[str, Any] = {other: 0 for other in names if other != name}
        settings = AugmentationConfig(kind="ada", pipeline="bgcfnc", multipliers=left_out)
        yield name, augmented(images, settings, 1.0, seed)
    for policy in ("color", "translation", "cutout"):
        settings = AugmentationConfig(kind="diffaugment", policy=(policy,))
        yield f"diff: {policy}", augmented(images, settings, 1.0, 0)
    yield "diffaugment", augmented(images, AugmentationConfig(kind="diffaugment"), 1.0, 1)


def rows(images: np.ndarray) -> Iterator[list[tuple[str, np.ndarray]]]:
    """Yield the rows of the sheet: labels, and the tiles under each."""
    found = list(pairs(images[[1, 5]]))
    for first in range(0, len(found), PAIRS):
        yield found[first : first + PAIRS]
    settings = AugmentationConfig(kind="ada", pipeline=PIPELINE)
    for p in PROBABILITIES:
        yield [(f"{PIPELINE}, p = {p:g}", augmented(images, settings, p, seed=4))]


def sheet(lines: list[list[tuple[str, np.ndarray]]], size: int) -> Image.Image:
    step = size + GAP
    canvas = Image.new("RGB", (WIDTH * step - GAP, len(lines) * (step + LABEL) - GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for row, line in enumerate(lines):
        column, top = 0, row * (step + LABEL)
        for label, tiles in line:
            draw.text((column * step, top), label, "black", font_size=LABEL - 3)
            for tile in tiles:
                pixels = np.clip(np.rint((tile + 1) * 127.5), 0, 255).astype(np.uint8)
                canvas.paste(Image.fromarray(pixels), (column * step, top + LABEL))
                column += 1
    palette = canvas.quantize(256, method=Image.Quantize.MEDIANCUT)
    return canvas.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--pictures", type=int, nargs=WIDTH, help="numbers in the source")
    options = parser.parse_args()
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3"}
    lines = list(rows(pictures(options.source, options.pictures, options.size)))
    sheet(lines, options.size).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
