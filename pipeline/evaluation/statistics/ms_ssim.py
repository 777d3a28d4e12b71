"""MS-SSIM of pairs of fakes of one class, a measure of their similarity."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

from pipeline.errors import UserError
from pipeline.evaluation.statistics.arrays import Array, checked_images, checked_labels
from pipeline.evaluation.statistics.intervals import Estimate, around
from pipeline.training.synthesis.ms_ssim_scales import DEVIATION, scale_weights, window_of

PAIRS = 10_000
PIXELS_AT_ONCE = 2**22
RANGE = 255.0
LUMINANCE, CONTRAST = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2


def similarity_of_pairs(
    images: Array, labels: Array | None = None, *, seed: int, pairs: int = PAIRS
) -> Estimate:
    """Average MS-SSIM over random pairs of one class: 1 if equal, near 0 if unrelated.

    Images are uint8 `(n, height, width, channels)`; without labels all have one class.

    Raises:
        UserError: if no two images have one class.

    Source: arXiv:1610.09585, section 4.2; arXiv:1710.10196, section 5, with 10,000 pairs.
    """
    images = checked_images(images, "images")
    if labels is None:
        labels = np.zeros(len(images), np.int64)
    chosen, apart = pairs_of_one_class(checked_labels(labels, "labels", len(images)), pairs, seed)
    # In parts, because 10,000 pairs of large images in float64 would not fit in memory.
    at_once = max(1, PIXELS_AT_ONCE // int(np.prod(images.shape[1:])))
    parts = np.split(chosen, range(at_once, pairs, at_once))
    values = np.concatenate([ms_ssim(*(images[side] for side in part.T)) for part in parts])
    # Pairs that share an image are not independent.
    error = float(values.std(ddof=1)) / apart**0.5 if pairs > 1 else 0.0
    return around(float(values.mean()), error, apart)


def ms_ssim(one: Array, other: Array) -> Array:
    """Compute `Π csᵢ^wᵢ · ssim^w` over scales, of images 0 to 255, averaged over channels.

    Call: twice `(n, height, width, channels)` → `(n,)`.

    Of the five scales those count that leave room for the window (1 up to 16 px, 2 at 32, 3 at 64,
    4 at 128, 5 from 256 px), with Wang's weights scaled to a sum of 1.

    Source: Wang et al., "Multi-scale structural similarity for image quality assessment", 2003,
    which uses all five scales.
    """
    one, other = one.astype(np.float64), other.astype(np.float64)
    weights = scale_weights(min(one.shape[1:3]))
    product = np.ones((len(one), one.shape[3]))
    for number, weight in enumerate(weights):
        if number:
            one, other = _halved(one), _halved(other)
        ssim, contrast = _structures(one, other)
        term = ssim if number == len(weights) - 1 else contrast
        # A mean below 0 counts as 0, because a negative number has no real power.
        product *= np.maximum(term, 0.0) ** weight
    return product.mean(1)


def _structures(one: Array, other: Array) -> tuple[Array, Array]:
    """Compute mean SSIM, and its part for contrast and structure, `(n, channels)` each."""
    window = _gaussian(window_of(min(one.shape[1:3])))
    mean, other_mean = _filtered(one, window), _filtered(other, window)
    product, squares = mean * other_mean, mean**2 + other_mean**2
    covariance = _filtered(one * other, window) - product
    variances = _filtered(one**2 + other**2, window) - squares
    contrast = (2 * covariance + CONTRAST) / (variances + CONTRAST)
    ssim = contrast * (2 * product + LUMINANCE) / (squares + LUMINANCE)
    return ssim.mean((1, 2)), contrast.mean((1, 2))


def _gaussian(size: int) -> Array:
    distances = np.arange(size) - (size - 1) / 2
    weights = np.exp(-(distances**2) / (2 * DEVIATION**2))
    return weights / weights.sum()


def _filtered(images: Array, window: Array) -> Array:
    size = len(window)
    # Only where the window is within the image, as TensorFlow does: padding would count as image.
    down, right = (slice(size // 2, size // 2 + side - size + 1) for side in images.shape[1:3])
    filtered = correlate1d(images, window, axis=1)[:, down]
    return correlate1d(filtered, window, axis=2)[:, :, right]


def _halved(images: Array) -> Array:
    count, height, width, channels = images.shape
    if height % 2 or width % 2:  # TensorFlow repeats the last row or column too.
        images = np.pad(images, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        count, height, width, channels = images.shape
    return images.reshape(count, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def pairs_of_one_class(labels: Array, count: int, seed: int) -> tuple[Array, int]:
    """Draw pairs of one class, indices `(count, 2)`, and count those that share no image."""
    random = np.random.default_rng(seed)
    found: list[Array] = []
    # Each turn gives pairs that share no image; further turns only if those are too few.
    while sum(map(len, found)) < count:
        order = random.permutation(len(labels))
        # Stable, so that images of a class stay in their random order.
        order = order[np.argsort(labels[order], kind="stable")]
        _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
        even = (np.arange(len(order)) - np.repeat(starts, sizes)) % 2 == 0
        first = np.flatnonzero(even[:-1] & (labels[order[:-1]] == labels[order[1:]]))
        if not len(first):
            raise UserError(
                f"`labels` must name a class of two images. Received: {len(labels)} images of "
                f"{len(starts)} classes"
            )
        # Shuffled, because cutting off sorted pairs at `count` would leave out the last classes.
        found.append(random.permutation(np.stack([order[first], order[first + 1]], 1)))
    return np.concatenate(found)[:count], min(count, len(found[0]))
