"""Perceptual path length: how much images change when a latent moves by a small step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.evaluation.statistics.arrays import Array
from pipeline.evaluation.statistics.intervals import Estimate, bootstrap

STEP = 1e-4  # Step ε along a path, as a share of the path.
TRIMMED = (1.0, 99.0)  # Percentiles between which lengths count.

Generate = Callable[[Array, slice], Any]
Distance = Callable[[Any, Any], Array]
Interpolate = Callable[[Array, Array, Array], Array]
"""Function from starts, ends and positions between them, 0 to 1, to latents."""


def path_length(
    generate: Generate,
    distance: Distance,
    starts: Array,
    ends: Array,
    *,
    interpolate: Interpolate,
    seed: int,
    full: bool = True,
    trimmed: tuple[float, float] | None = TRIMMED,
    batch: int = 64,
) -> Estimate:
    """Average `distance(image at t, image at t + ε) / ε²` over paths between pairs of latents.

    There is one position t per path: random in [0, 1) with `full`, otherwise 0. Lengths below the
    1st and above the 99th percentile are left out. The interval is a bootstrap over the paths.

    Args:
        generate: Function from latents `(n, …)`, and the slice of the pairs that they belong to, to
            images as floats, because a step changes them by less than one level of 255. Each image
            must depend on its latent only, and noise must be the same in every call.
        distance: Function from two arrays of images to the distances of their pairs, `(n,)`; it
            must grow with the square of small changes, as `feature_distance` does.
        starts: Latents at the starts: z `(n, size)`, or w `(n, size)` or `(n, layers, size)`.
        ends: Latents at the ends, of the same shape.
        interpolate: Interpolation: `slerp` for z, `lerp` for w.
        seed: Seed of the positions t, and of the bootstrap.
        full: True to measure along full paths; False for their starts only.
        trimmed: Percentiles between which lengths count; None for all lengths.
        batch: Number of pairs in a batch.

    Raises:
        UserError: if starts and ends differ in shape, or there are none.

    Source: arXiv:1812.04948, section 4.1; trimming is from the official code. The official code
    also averages larger images to 256 px, which is left to `generate` here.
    """
    if starts.shape != ends.shape or not len(starts):
        raise UserError(
            "`starts` and `ends` must be latents of one shape. "
            f"Received: {starts.shape} and {ends.shape}"
        )
    # Add the 1 to the seed, so that positions and bootstrap draw different random numbers.
    random = np.random.default_rng((seed, 1))
    positions = random.uniform(size=len(starts)) if full else np.zeros(len(starts))
    lengths = []
    for first in range(0, len(starts), batch):
        some = slice(first, first + batch)
        here, there = (
            generate(interpolate(starts[some], ends[some], positions[some] + step), some)
            for step in (0.0, STEP)
        )
        lengths.append(np.asarray(distance(here, there), np.float64) / STEP**2)
    return bootstrap(np.concatenate(lengths), lambda all_: _trimmed_mean(all_, trimmed), seed=seed)


def slerp(starts: Array, ends: Array, positions: Array) -> Array:
    """Interpolate at constant speed along a great circle of the sphere of radius `√size`.

    Call: two arrays of latents `(n, size)`, whose lengths are ignored, and positions `(n,)`, 0 at
    the start and 1 at the end → `(n, size)`.

    Source: the official `perceptual_path_length.py`, which uses radius 1; the generator normalises
    its latents, there as here.
    """
    starts, ends = _unit(starts), _unit(ends)
    # Clip to the domain of arccos, which rounding errors may leave.
    cosine = np.clip((starts * ends).sum(-1, keepdims=True), -1.0, 1.0)
    angles = positions[:, None] * np.arccos(cosine)
    across = _unit(ends - cosine * starts)
    return np.sqrt(starts.shape[-1]) * (starts * np.cos(angles) + across * np.sin(angles))


def lerp(starts: Array, ends: Array, positions: Array) -> Array:
    """Interpolate linearly, `start + (end - start) · t`: `(n, …)` twice and `(n,)` → `(n, …)`."""
    positions = positions.reshape(-1, *[1] * (starts.ndim - 1))
    # Use float64, because float32 would lose most digits of a step of 10⁻⁴.
    return starts.astype(np.float64) + (ends.astype(np.float64) - starts) * positions


def feature_distance(one: Array, other: Array) -> Array:
    """Compute `‖x/‖x‖ - y/‖y‖‖²` of pairs of features, from 0 to 4.

    Call: `(n, dimensions)` twice → `(n,)`.

    Source: arXiv:1801.03924, section 3, equation 1, which sums over several layers and positions
    with learned weights; ours uses the single vector of a feature network.
    """
    return np.square(_unit(one) - _unit(other)).sum(-1)


def _unit(vectors: Array) -> Array:
    vectors = np.asarray(vectors, np.float64)
    norms = np.sqrt(np.square(vectors).sum(-1, keepdims=True))
    # Keep a zero vector, such as `slerp` has between equal latents, instead of returning NaN.
    return vectors / np.where(norms > 0, norms, 1.0)


def _trimmed_mean(lengths: Array, trimmed: tuple[float, float] | None) -> float:
    if trimmed is not None:
        # Use the methods `lower` and `higher`, as the official code does.
        low = np.percentile(lengths, trimmed[0], method="lower")
        high = np.percentile(lengths, trimmed[1], method="higher")
        lengths = lengths[(lengths >= low) & (lengths <= high)]
    return float(lengths.mean())
