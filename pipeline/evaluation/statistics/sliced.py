"""SWD: sliced Wasserstein distance of image patches, per level of a Laplacian pyramid."""

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
"""Side of a patch in pixels."""
COARSEST = 16
"""Side of the last level in pixels."""
DIRECTIONS = 4 * 128
SCALE = 1e3
PROJECTIONS_AT_ONCE = 2**26
"""Projections to hold at a time, 512 MiB."""
ROWS = 2**16
BINOMIAL = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16

Descriptors = dict[int, Array]
"""Patches by height of their level, finest first: float32 `(patches, channels, patch side²)`."""


def descriptors(batches: Iterable[Array], *, seed: int, patches: int = PATCHES) -> Descriptors:
    """Draw random patches from every level of the images' Laplacian pyramids.

    A level of r pixels is the image at r pixels minus its blurred half; the last level, of 16
    pixels, is the image itself. Images of up to 16 pixels have one level. For other shapes, the
    last level is the first with a shorter side of at most 16 pixels, or with an odd side. A patch
    has 7 pixels a side; at 4 pixels it is the whole image, and there is one patch per image.

    Images are `(any, height, width, channels)`, of any range; batches may have any size.

    Raises:
        UserError: if there are no images, or they differ in size.

    Source: the official `sliced_wasserstein.py` and `laplacian_pyramid`; the protocol uses 16,384
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
        # Seeded per image, so that positions do not depend on the batches.
        draws = [np.random.default_rng((seed, count + i)) for i in range(len(images))]
        count += len(images)
        for level in laplacian_pyramid(images.astype(np.float64)):
            found.setdefault(level.shape[1], []).append(_patches(level, draws, patches))
    if not found:
        raise UserError("`batches` must hold images. Received: none")
    return {side: np.concatenate(found.pop(side)) for side in sorted(found, reverse=True)}


def sliced_wasserstein(fakes: Descriptors, reals: Descriptors, *, seed: int) -> dict[int, float]:
    """Compute 10³ times the sliced Wasserstein distance of patches per level; 0 for equal sets.

    It is the mean over 512 random directions of the mean `|aᵢ - bᵢ|`, where a and b are the sorted
    projections of patches, with channels normalised by each side's mean and deviation.

    Raises:
        UserError: if levels or numbers of patches differ.

    Source: arXiv:1710.10196, section 5; Rabin et al., "Wasserstein barycenter and its
    application to texture mixing", 2011, for sliced distances.
    """
    shapes = [{side: level.shape for side, level in each.items()} for each in (fakes, reals)]
    if shapes[0] != shapes[1]:
        raise UserError(
            "SWD needs the same number of images, of one size, on both sides. "
            f"Received: patches {shapes[0]} and {shapes[1]}"
        )
    return {
        # The 1 gives another stream than that of the patches' positions, (seed, image).
        side: SCALE * _distance(fakes[side], reals[side], np.random.default_rng((seed, side, 1)))
        for side in fakes
    }


def laplacian_pyramid(images: Array) -> list[Array]:
    """Split images, `(n, height, width, channels)`, into each halving's loss and the last half."""
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
    # Twice per axis, because every other row and column is zero.
    return _blurred(spread, 2 * BINOMIAL)


def _blurred(images: Array, weights: Array) -> Array:
    for axis in (1, 2):
        images = correlate1d(images, weights, axis=axis, mode="mirror")
    return images


def _patches(level: Array, draws: list[np.random.Generator], patches: int) -> Array:
    """Cut patches from a level, image by image: `(patches, channels, patch side²)`."""
    count, height, width, channels = level.shape
    patch = min(PATCH, height, width)
    # All patches would be the same.
    if patch == height == width:
        patches = 1
    ends = [[height - patch + 1], [width - patch + 1]]
    places = np.stack([draw.integers(ends, size=(2, patches)) for draw in draws], 1)
    windows = sliding_window_view(level, (patch, patch), axis=(1, 2))
    chosen = windows[np.arange(count)[:, None], places[0], places[1]]
    return chosen.reshape(count * patches, channels, patch * patch).astype(np.float32)


def _distance(one: Array, other: Array, random: np.random.Generator) -> float:
    # Normal draws are uniform in direction after scaling to length 1.
    directions = random.normal(size=(DIRECTIONS, *one.shape[1:]))
    directions /= np.sqrt(np.square(directions).sum((1, 2), keepdims=True))
    normalisations = _normalisation(one), _normalisation(other)
    at_once = max(1, PROJECTIONS_AT_ONCE // len(one))
    total = 0.0
    for start in range(0, DIRECTIONS, at_once):
        some = directions[start : start + at_once]
        # In place: with all patches of 16,384 images, each array has half a gigabyte.
        difference = _sorted_projections(one, some, *normalisations[0])
        difference -= _sorted_projections(other, some, *normalisations[1])
        total += float(np.abs(difference, out=difference).mean(1).sum())
    return total / DIRECTIONS


def _normalisation(patches: Array) -> tuple[Array, Array]:
    """Return means of channels, and 1 / deviation or 0 if that is 0; `(channels, 1)` each."""
    means = patches.mean((0, 2), dtype=np.float64)[:, None]
    # Not by `std`, which would copy all patches to float64.
    squares = sum(np.square(rows - means).sum((0, 2)) for rows in _rows(patches))
    deviations = np.sqrt(squares / (len(patches) * patches.shape[2]))[:, None]
    # A constant channel has no deviation; 0 leaves it out.
    scales = np.divide(1.0, deviations, out=np.zeros_like(deviations), where=deviations > 0)
    return means, scales


def _sorted_projections(patches: Array, directions: Array, means: Array, scales: Array) -> Array:
    """Project patches onto directions and sort: `(directions, patches)`, ascending."""
    # Scale the directions, not the patches, of which there are many more.
    weights = (directions * scales).reshape(len(directions), -1)
    parts = [weights @ (rows - means).reshape(len(rows), -1).T for rows in _rows(patches)]
    projections = np.concatenate(parts, axis=1)
    projections.sort(axis=1)
    return projections


def _rows(patches: Array) -> Iterator[Array]:
    # In blocks, because float64 copies of all patches would not fit in memory.
    return (patches[start : start + ROWS] for start in range(0, len(patches), ROWS))
