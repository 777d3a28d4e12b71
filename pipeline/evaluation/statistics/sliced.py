"""SWD: the sliced Wasserstein distance of patches of images, at each level of a Laplacian pyramid.

Source: arXiv:1710.10196, section 5, and the official `sliced_wasserstein.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import correlate1d

from pipeline.errors import UserError
from pipeline.evaluation.statistics.arrays import Array, checked_images

IMAGES = 16_384
PATCHES = 128
"""Number of patches of each image at each level."""
PATCH = 7
"""Side in pixels."""
COARSEST = 16
"""Pixels of the last level."""
DIRECTIONS = 4 * 128
SCALE = 1e3
PROJECTIONS_AT_ONCE = 2**26
"""512 MiB."""
ROWS = 2**16
BINOMIAL = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16

Descriptors = dict[int, Array]
"""By the height of a level in pixels, finest first: float32 `(patches, channels, patch side²)`."""


def descriptors(batches: Iterable[Array], *, seed: int, patches: int = PATCHES) -> Descriptors:
    """Random patches of every level of the images' Laplacian pyramids.

    A level of r pixels is the image of r pixels less its blurred half, down to one of 16 pixels,
    which is left as it is. Images of 16 pixels and smaller are their own only level. Of other
    shapes the last level is the first whose shorter side is at most 16 pixels, or a side odd. A
    patch has 7 pixels a side, or at 4 pixels the whole image: then there is one patch an image.

    Positions of image i, in the order of the stream, are a function of (seed, i): batches may be
    cut anywhere.

    Args:
        batches: Images `(any, height, width, channels)` of any range, all of one size.
        seed: Seed of the positions.
        patches: Patches of an image at a level.

    Raises:
        UserError: If there are no images, or they differ in size.

    Source: the official `sliced_wasserstein.py` and `laplacian_pyramid`; the protocol has 16,384
    images, and no level below 16 pixels.
    """
    found: dict[int, list[Array]] = {}
    count, shape = 0, None
    for batch in batches:
        images = checked_images(batch, "batches")
        shape = shape or images.shape[1:]
        if images.shape[1:] != shape:
            raise UserError(
                "`batches` must hold images of one size. "
                f"Received: {shape} and then {images.shape[1:]}"
            )
        draws = [np.random.default_rng((seed, count + i)) for i in range(len(images))]
        count += len(images)
        for level in laplacian_pyramid(images.astype(np.float64)):
            found.setdefault(level.shape[1], []).append(_patches(level, draws, patches))
    if not found:
        raise UserError("`batches` must hold images. Received: none")
    return {side: np.concatenate(found.pop(side)) for side in sorted(found, reverse=True)}


def sliced_wasserstein(fakes: Descriptors, reals: Descriptors, *, seed: int) -> dict[int, float]:
    """10³ times the sliced Wasserstein distance of the patches of each level, 0 for equal sets.

    The mean over 512 random directions of the mean `|aᵢ - bᵢ|`, a and b the sorted projections of
    patches whose channels are normalised, each side by its own mean and deviation. The score `swd`
    is the mean over levels.

    Args:
        fakes: Pixels of generated images.
        reals: Pixels of as many real images of the same size.
        seed: Seed of the directions.

    Raises:
        UserError: If levels, or the numbers of patches, differ.

    Source: arXiv:1710.10196, section 5; Rabin et al., "Wasserstein barycenter and its
    application to texture mixing", 2011, for sliced distances.
    """
    shapes = [{side: level.shape for side, level in each.items()} for each in (fakes, reals)]
    if shapes[0] != shapes[1]:
        raise UserError(
            "SWD must have equally many images of one size on either side. "
            f"Received: patches {shapes[0]} and {shapes[1]}"
        )
    return {
        side: SCALE * _distance(fakes[side], reals[side], np.random.default_rng((seed, side, 1)))
        for side in fakes
    }


def laplacian_pyramid(images: Array) -> list[Array]:
    """Images `(n, height, width, channels)` as what each halving loses, and the last half."""
    levels = [images]
    while min(levels[-1].shape[1:3]) > COARSEST and not any(s % 2 for s in levels[-1].shape[1:3]):
        half = _blurred(levels[-1], BINOMIAL)[:, ::2, ::2]
        levels[-1] = levels[-1] - _doubled(half)
        levels.append(half)
    return levels


def _doubled(images: Array) -> Array:
    count, height, width, channels = images.shape
    spread = np.zeros((count, 2 * height, 2 * width, channels))
    spread[:, ::2, ::2] = images
    return _blurred(spread, 2 * BINOMIAL)


def _blurred(images: Array, weights: Array) -> Array:
    for axis in (1, 2):
        images = correlate1d(images, weights, axis=axis, mode="mirror")
    return images


def _patches(level: Array, draws: list[np.random.Generator], patches: int) -> Array:
    """Patches of each image, one image's after another's: `(patches, channels, patch side²)`."""
    count, height, width, channels = level.shape
    patch = min(PATCH, height, width)
    if patch == height == width:
        patches = 1
    ends = [[height - patch + 1], [width - patch + 1]]
    places = np.stack([draw.integers(ends, size=(2, patches)) for draw in draws], 1)
    windows = sliding_window_view(level, (patch, patch), axis=(1, 2))
    chosen = windows[np.arange(count)[:, None], places[0], places[1]]
    return chosen.reshape(count * patches, channels, patch * patch).astype(np.float32)


def _distance(one: Array, other: Array, random: np.random.Generator) -> float:
    directions = random.normal(size=(DIRECTIONS, *one.shape[1:]))
    directions /= np.sqrt(np.square(directions).sum((1, 2), keepdims=True))
    normalisation, other_normalisation = _normalisation(one), _normalisation(other)
    at_once = max(1, PROJECTIONS_AT_ONCE // len(one))
    total = 0.0
    for start in range(0, DIRECTIONS, at_once):
        some = directions[start : start + at_once]
        difference = _sorted_projections(one, some, *normalisation)
        difference -= _sorted_projections(other, some, *other_normalisation)
        total += float(np.abs(difference, out=difference).mean(1).sum())
    return total / DIRECTIONS


def _normalisation(patches: Array) -> tuple[Array, Array]:
    """Means of the channels, and 1 over their deviations, or 0 without any: `(channels, 1)`."""
    means = patches.mean((0, 2), dtype=np.float64)[:, None]
    squares = sum(np.square(rows - means).sum((0, 2)) for rows in _rows(patches))
    deviations = np.sqrt(squares / (len(patches) * patches.shape[2]))[:, None]
    scales = np.divide(1.0, deviations, out=np.zeros_like(deviations), where=deviations > 0)
    return means, scales


def _sorted_projections(patches: Array, directions: Array, means: Array, scales: Array) -> Array:
    """`(directions, patches)`, ascending."""
    # The directions are scaled for the patches, which are many more.
    weights = (directions * scales).reshape(len(directions), -1)
    parts = [weights @ (rows - means).reshape(len(rows), -1).T for rows in _rows(patches)]
    projections = np.concatenate(parts, axis=1)
    projections.sort(axis=1)
    return projections


def _rows(patches: Array) -> Iterator[Array]:
    """Patches, some at a time."""
    return (patches[start : start + ROWS] for start in range(0, len(patches), ROWS))
