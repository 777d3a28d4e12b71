"""Sheets of images that show the effect of truncating styles, and of mixing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.data.grids import tile
from pipeline.sampling.painter import Painter, Styles
from pipeline.sampling.sampler import NoiseMode

DType = TypeVar("DType", bound=np.generic)


def truncation_sheet(
    painter: Painter,
    styles: Styles,
    seeds: Sequence[int],
    psis: Sequence[float],
    *,
    cutoff: int | None = None,
    noise: NoiseMode = "constant",
) -> NDArray[np.uint8]:
    """Draw truncated images: a row per style, a column per psi.

    `seeds` are for random noise; `cutoff` is the number of layers to truncate, None for all.
    """
    truncated = np.stack([painter.truncated(styles, psi, cutoff) for psi in psis], axis=1)
    images = painter.images(_flatten(truncated), np.repeat(seeds, len(psis)).tolist(), noise)
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
    """Draw mixed images, whose styles of `layers` are from the column and all others from the row.

    `rows` and `columns` are styles with seeds; first row and column show images before mixing.
    """
    (row_styles, row_seeds), (column_styles, column_seeds) = rows, columns
    # `repeat` copies: the layers of a style may share memory, so writing to a view would be wrong.
    mixed = np.repeat(row_styles[:, np.newaxis], len(column_styles), axis=1)
    mixed[:, :, list(layers)] = column_styles[np.newaxis][:, :, list(layers)]
    above = painter.images(column_styles, column_seeds, noise)
    beside = painter.images(row_styles, row_seeds, noise)
    # Use the row's seeds for noise, so that the images of a row differ only in their styles.
    mixed_seeds = np.repeat(row_seeds, len(column_styles)).tolist()
    inside = painter.images(_flatten(mixed), mixed_seeds, noise)
    inside = inside.reshape(*mixed.shape[:2], *inside.shape[1:])
    top = np.concatenate([np.zeros_like(above[:1]), above])
    body = np.concatenate([beside[:, np.newaxis], inside], axis=1)
    images = np.concatenate([top[np.newaxis], body])
    sheet: NDArray[np.uint8] = tile(_flatten(images), columns=1 + len(column_styles))
    return sheet


def _flatten(array: NDArray[DType]) -> NDArray[DType]:
    """Merge the first two axes."""
    return array.reshape(-1, *array.shape[2:])
