"""Sheets that show styles at work: truncated, and mixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.data.grids import tile
from pipeline.sampling.painter import Painter, Styles
from pipeline.sampling.sampler import NoiseMode

Number = TypeVar("Number", bound=np.generic)


def truncation_sheet(
    painter: Painter,
    styles: Styles,
    seeds: Sequence[int],
    psis: Sequence[float],
    *,
    cutoff: int | None = None,
    noise: NoiseMode = "constant",
) -> NDArray[np.uint8]:
    """Draw truncated images: a row per image, a column per psi."""
    drawn = np.stack([painter.truncated(styles, psi, cutoff) for psi in psis], axis=1)
    images = painter.images(_flat(drawn), np.repeat(seeds, len(psis)).tolist(), noise)
    sheet: NDArray[np.uint8] = tile(images, columns=len(psis))
    return sheet


def mixing_sheet(
    painter: Painter,
    rows: tuple[Styles, Sequence[int]],
    columns: tuple[Styles, Sequence[int]],
    layers: Sequence[int],
    *,
    noise: NoiseMode = "constant",
) -> NDArray[np.uint8]:
    """Draw mixed images: each takes the styles of some layers from its column, others from its row.

    The first row and the first column show the images that are mixed.
    """
    (of_rows, row_seeds), (of_columns, column_seeds) = rows, columns
    # A copy, because styles may be views whose layers share memory.
    mixed = np.repeat(of_rows[:, np.newaxis], len(of_columns), axis=1)
    mixed[:, :, list(layers)] = of_columns[np.newaxis][:, :, list(layers)]
    above = painter.images(of_columns, column_seeds, noise)
    beside = painter.images(of_rows, row_seeds, noise)
    # Seeds of the row, so that even with random noise a row differs by its styles only.
    inside = painter.images(_flat(mixed), np.repeat(row_seeds, len(of_columns)).tolist(), noise)
    inside = inside.reshape(*mixed.shape[:2], *inside.shape[1:])
    top = np.concatenate([np.zeros_like(above[:1]), above])
    body = np.concatenate([beside[:, np.newaxis], inside], axis=1)
    images = np.concatenate([top[np.newaxis], body])
    sheet: NDArray[np.uint8] = tile(_flat(images), columns=1 + len(of_columns))
    return sheet


def _flat(array: NDArray[Number]) -> NDArray[Number]:
    """Merge the first two axes."""
    return array.reshape(-1, *array.shape[2:])
