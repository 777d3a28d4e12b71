"""MS-SSIM of pairs of fakes of one class: high if a generator makes images that look alike."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

from pipeline.errors import UserError
from pipeline.evaluation.statistics.arrays import Array, check_images, check_labels
from pipeline.evaluation.statistics.intervals import Estimate, student_interval
from pipeline.training.synthesis.ms_ssim_scales import DEVIATION, scale_weights, window_of

PAIRS = 10_000
PIXELS_AT_ONCE = 2**22
"""Maximum number of values, over pixels and channels, in one half of the pairs at a time."""
RANGE = 255.0
LUMINANCE, CONTRAST = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
"""Constants C₁ and C₂ of SSIM, which keep its quotients finite."""


def similarity_of_pairs(
    images: Array, labels: Array | None = None, *, seed: int, pairs: int = PAIRS
) -> Estimate:
    """Average MS-SSIM over random pairs of one class: 1 if equal, near 0 if unrelated.

    Images are uint8 `(n, height, width, channels)`; without labels, all count as one class.

    Raises:
        UserError: if no two images have the same class.

    Source: arXiv:1610.09585, section 4.2; arXiv:1710.10196, section 5, with 10,000 pairs.
    """
    images = check_images(images, "images")
    if labels is None:
        labels = np.zeros(len(images), np.int64)
    chosen, independent = pairs_of_one_class(
        check_labels(labels, "labels", len(images)), pairs, seed
    )
    # Compute in parts, because 10,000 pairs of large images in float64 do not fit in memory.
    at_once = max(1, PIXELS_AT_ONCE // int(np.prod(images.shape[1:])))
    parts = np.split(chosen, range(at_once, pairs, at_once))
    values = np.concatenate([ms_ssim(*(images[half] for half in part.T)) for part in parts])
    # Count only pairs that share no image as independent.
    error = float(values.std(ddof=1)) / independent**0.5 if pairs > 1 else 0.0
    return student_interval(float(values.mean()), error, independent)


def ms_ssim(one: Array, other: Array) -> Array:
    """Compute MS-SSIM of pairs of images, 0 to 255, averaged over channels.

    It is the product of `cs^w` over all scales but the coarsest, and `ssim^w` at the coarsest. cs
    is the part of SSIM for contrast and structure, and w the weight of the scale. Small images have
    fewer than five scales: 1 up to 16 px, 2 at 32, 3 at 64, 4 at 128, 5 from 256 px. The weights of
    Wang et al. are then scaled to a sum of 1.

    Call: twice `(n, height, width, channels)` → `(n,)`.

    Source: Wang et al., "Multi-scale structural similarity for image quality assessment", 2003,
    which uses all five scales.
    """
    one, other = one.astype(np.float64), other.astype(np.float64)
    weights = scale_weights(min(one.shape[1:3]))
    product = np.ones((len(one), one.shape[3]))
    for scale, weight in enumerate(weights):
        if scale:
            one, other = _halve(one), _halve(other)
        ssim, contrast = _ssim_and_contrast(one, other)
        term = ssim if scale == len(weights) - 1 else contrast
        # Count a mean below 0 as 0, because a negative number has no real power.
        product *= np.maximum(term, 0.0) ** weight
    return product.mean(1)


def _ssim_and_contrast(one: Array, other: Array) -> tuple[Array, Array]:
    """Compute mean SSIM, and its part for contrast and structure, `(n, channels)` each."""
    window = _gaussian(window_of(min(one.shape[1:3])))
    mean, other_mean = _filter(one, window), _filter(other, window)
    product, squares = mean * other_mean, mean**2 + other_mean**2
    covariance = _filter(one * other, window) - product
    variances = _filter(one**2 + other**2, window) - squares
    contrast = (2 * covariance + CONTRAST) / (variances + CONTRAST)
    ssim = contrast * (2 * product + LUMINANCE) / (squares + LUMINANCE)
    return ssim.mean((1, 2)), contrast.mean((1, 2))


def _gaussian(size: int) -> Array:
    distances = np.arange(size) - (size - 1) / 2
    weights = np.exp(-(distances**2) / (2 * DEVIATION**2))
    return weights / weights.sum()


def _filter(images: Array, window: Array) -> Array:
    size = len(window)
    # Keep pixels whose window is within the image, as TensorFlow does: padding is no image.
    down, right = (slice(size // 2, size // 2 + side - size + 1) for side in images.shape[1:3])
    filtered = correlate1d(images, window, axis=1)[:, down]
    return correlate1d(filtered, window, axis=2)[:, :, right]


def _halve(images: Array) -> Array:
    count, height, width, channels = images.shape
    if height % 2 or width % 2:  # Repeat the last row or column, as TensorFlow does.
        images = np.pad(images, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        count, height, width, channels = images.shape
    return images.reshape(count, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def pairs_of_one_class(labels: Array, count: int, seed: int) -> tuple[Array, int]:
    """Draw pairs of images of one class: indices `(count, 2)`, and how many share no image."""
    random = np.random.default_rng(seed)
    found: list[Array] = []
    # The pairs of one turn share no image; take further turns only if they are too few.
    while sum(map(len, found)) < count:
        order = random.permutation(len(labels))
        # Sort by class; a stable sort keeps the random order within each class.
        order = order[np.argsort(labels[order], kind="stable")]
        _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
        even = (np.arange(len(order)) - np.repeat(starts, sizes)) % 2 == 0
        first = np.flatnonzero(even[:-1] & (labels[order[:-1]] == labels[order[1:]]))
        if not len(first):
            raise UserError(
                f"`labels` must name a class of two images. Received: {len(labels)} images of "
                f"{len(starts)} classes"
            )
        # Shuffle the pairs: cutting sorted pairs off at `count` would leave out the last classes.
        found.append(random.permutation(np.stack([order[first], order[first + 1]], 1)))
    return np.concatenate(found)[:count], min(count, len(found[0]))
