"""SWD: sliced Wasserstein distance between the patches of fakes and reals, at several scales."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import correlate1d

from pipeline.errors import UserError
from pipeline.evaluation.statistics.arrays import Array, check_images

IMAGES = 16_384  # Maximum number of fakes, and of reals.
PATCHES = 128  # Number of patches of each image at each level.
PATCH = 7  # Side of a patch in pixels.
COARSEST = 16  # Side of the last level in pixels.
DIRECTIONS = 4 * 128  # Number of random directions to project patches on.
SCALE = 1e3
PROJECTIONS_AT_ONCE = 2**26  # Number of projections to hold at a time, 512 MiB.
ROWS = 2**16  # Number of patches to convert to float64 at a time.
BINOMIAL = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16  # Blur filter of the pyramid, along each axis.

Descriptors = dict[int, Array]
"""Patches by height of their level, finest first: float32 `(patches, channels, patch side²)`."""


def draw_descriptors(batches: Iterable[Array], *, seed: int, patches: int = PATCHES) -> Descriptors:
    """Draw random patches from every level of the images' Laplacian pyramids.

    A pyramid halves an image until a side is odd or the shorter side has at most 16 pixels. The
    last level is the last half itself; every other level is what its halving loses. A patch has 7
    pixels a side, or the level's shorter side if that is less. If a patch is the whole level, there
    is one per image.

    Images are `(any, height, width, channels)`, of any range; batches may have any size.

    Raises:
        UserError: if there are no images, or they differ in size.

    Source: the official `sliced_wasserstein.py` and `laplacian_pyramid`; the protocol uses 16,384
    images, and no level below 16 pixels.
    """
    found: dict[int, list[Array]] = {}
    count, shape = 0, None
    for batch in batches:
        images = check_images(batch, "batches")
        shape = shape or images.shape[1:]
        if images.shape[1:] != shape:
            raise UserError(
                "`batches` must hold images of one size. "
                f"Received: {shape} and then {images.shape[1:]}"
            )
        # Seed each image by its number, so that positions do not depend on the batches.
        randoms = [np.random.default_rng((seed, count + i)) for i in range(len(images))]
        count += len(images)
        for level in laplacian_pyramid(images.astype(np.float64)):
            found.setdefault(level.shape[1], []).append(_cut_patches(level, randoms, patches))
    if not found:
        raise UserError("`batches` must hold images. Received: none")
    return {side: np.concatenate(found.pop(side)) for side in sorted(found, reverse=True)}


def sliced_wasserstein(fakes: Descriptors, reals: Descriptors, *, seed: int) -> dict[int, float]:
    """Compute 10³ times the sliced Wasserstein distance of patches per level; 0 for equal sets.

    It is the mean over 512 random directions of the mean `|aᵢ - bᵢ|`, where a and b are the sorted
    projections of the patches of fakes and reals. Before, each channel is normalised by its mean
    and deviation over all patches of the fakes, or of the reals.

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
        # Add the 1, so that the numbers differ from those of the positions, seeded (seed, image).
        side: SCALE * _distance(fakes[side], reals[side], np.random.default_rng((seed, side, 1)))
        for side in fakes
    }


def laplacian_pyramid(images: Array) -> list[Array]:
    """Split images `(n, height, width, channels)` into losses of each halving and the last half."""
    levels = [images]
    while min(levels[-1].shape[1:3]) > COARSEST and not any(s % 2 for s in levels[-1].shape[1:3]):
        half = _blur(levels[-1], BINOMIAL)[:, ::2, ::2]
        levels[-1] = levels[-1] - _double(half)
        levels.append(half)
    return levels


def _double(images: Array) -> Array:
    count, height, width, channels = images.shape
    spread = np.zeros((count, 2 * height, 2 * width, channels))
    spread[:, ::2, ::2] = images
    # Double the filter on each axis, because every second row and column is zero.
    return _blur(spread, 2 * BINOMIAL)


def _blur(images: Array, weights: Array) -> Array:
    for axis in (1, 2):
        images = correlate1d(images, weights, axis=axis, mode="mirror")
    return images


def _cut_patches(level: Array, randoms: list[np.random.Generator], patches: int) -> Array:
    """Cut random patches from a level, image by image: `(patches, channels, patch side²)`."""
    count, height, width, channels = level.shape
    side = min(PATCH, height, width)
    # Cut one patch if it is the whole image: all others would be the same.
    if side == height == width:
        patches = 1
    ends = [[height - side + 1], [width - side + 1]]
    corners = np.stack([random.integers(ends, size=(2, patches)) for random in randoms], 1)
    windows = sliding_window_view(level, (side, side), axis=(1, 2))
    chosen = windows[np.arange(count)[:, None], corners[0], corners[1]]
    return chosen.reshape(count * patches, channels, side * side).astype(np.float32)


def _distance(one: Array, other: Array, random: np.random.Generator) -> float:
    # Draw normal vectors and scale them to length 1, which makes directions uniform.
    directions = random.normal(size=(DIRECTIONS, *one.shape[1:]))
    directions /= np.sqrt(np.square(directions).sum((1, 2), keepdims=True))
    normalisations = _normalisation(one), _normalisation(other)
    at_once = max(1, PROJECTIONS_AT_ONCE // len(one))
    total = 0.0
    for start in range(0, DIRECTIONS, at_once):
        some = directions[start : start + at_once]
        # Subtract in place: with 16,384 images, each array has half a gigabyte.
        difference = _sorted_projections(one, some, *normalisations[0])
        difference -= _sorted_projections(other, some, *normalisations[1])
        total += float(np.abs(difference, out=difference).mean(1).sum())
    return total / DIRECTIONS


def _normalisation(patches: Array) -> tuple[Array, Array]:
    """Compute mean and 1 / deviation of each channel, `(channels, 1)`; 0 for constant channels."""
    means = patches.mean((0, 2), dtype=np.float64)[:, None]
    # Do not use `std`, which would copy all patches to float64.
    squares = sum(np.square(rows - means).sum((0, 2)) for rows in _rows(patches))
    deviations = np.sqrt(squares / (len(patches) * patches.shape[2]))[:, None]
    # Scale a constant channel by 0, which leaves it out.
    scales = np.divide(1.0, deviations, out=np.zeros_like(deviations), where=deviations > 0)
    return means, scales


def _sorted_projections(patches: Array, directions: Array, means: Array, scales: Array) -> Array:
    """Project patches onto directions and sort: `(directions, patches)`, ascending."""
    # Scale the directions, not the patches: there are far fewer directions.
    weights = (directions * scales).reshape(len(directions), -1)
    parts = [weights @ (rows - means).reshape(len(rows), -1).T for rows in _rows(patches)]
    projections = np.concatenate(parts, axis=1)
    projections.sort(axis=1)
    return projections


def _rows(patches: Array) -> Iterator[Array]:
    # Yield blocks, because float64 copies of all patches would not fit in memory.
    return (patches[start : start + ROWS] for start in range(0, len(patches), ROWS))
