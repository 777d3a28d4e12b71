"""Perceptual path length: change of images along short steps between latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.evaluation.statistics.arrays import Array
from pipeline.evaluation.statistics.intervals import Estimate, bootstrap

STEP = 1e-4
TRIMMED = (1.0, 99.0)
"""Percentiles between which lengths count."""

Generate = Callable[[Array, slice], Any]
Distance = Callable[[Any, Any], Array]
Interpolate = Callable[[Array, Array, Array], Array]


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
    """Average `distance(image at t, image at t + ε) / ε²` along paths between latents.

    On full paths t is uniform in [0, 1), at their ends t = 0. Lengths below the 1st and above the
    99th percentile are left out. The interval is a bootstrap over pairs of latents.

    Args:
        generate: Function from latents `(n, …)` and the slice of their pairs to images, as floats:
            the step changes them by less than one level of 255. Each image must depend on its
            latent only, and noise must be the same in every call.
        distance: Function from images and images to their distances, `(n,)`; it must grow with the
            square of small changes, as `feature_distance` does.
        starts: Latents at the starts: z `(n, size)`, or w `(n, size)` or `(n, layers, size)`.
        ends: Latents at the ends, of the same shape.
        interpolate: Interpolation: `slerp` for z, `lerp` for w.
        seed: Seed of the positions t, and of the bootstrap.
        full: True to measure along full paths, not only at their starts.
        trimmed: Percentiles between which lengths count; None for all lengths.
        batch: Pairs per batch.

    Raises:
        UserError: if starts and ends differ in shape, or there are none.

    Source: arXiv:1812.04948, section 4.1, and the official code for trimming. That also averages
    images to 256 px, which `generate` can do here.
    """
    if starts.shape != ends.shape or not len(starts):
        raise UserError(
            "`starts` and `ends` must be latents of one shape. "
            f"Received: {starts.shape} and {ends.shape}"
        )
    # A different stream from the bootstrap's.
    random = np.random.default_rng((seed, 1))
    places = random.uniform(size=len(starts)) if full else np.zeros(len(starts))
    lengths = []
    for first in range(0, len(starts), batch):
        some = slice(first, first + batch)
        here, there = (
            generate(interpolate(starts[some], ends[some], places[some] + ahead), some)
            for ahead in (0.0, STEP)
        )
        lengths.append(np.asarray(distance(here, there), np.float64) / STEP**2)
    return bootstrap(np.concatenate(lengths), lambda all_: _trimmed_mean(all_, trimmed), seed=seed)


def slerp(starts: Array, ends: Array, places: Array) -> Array:
    """Interpolate along the great circle of the sphere of radius `√size`, at constant speed.

    Call: latents `(n, size)` twice, of which only directions count, and positions `(n,)`, 0 at the
    start and 1 at the end → `(n, size)`.

    Source: the official `perceptual_path_length.py`, on the sphere of radius 1; the generator
    normalises the radius there as here.
    """
    starts, ends = _unit(starts), _unit(ends)
    # Rounding may leave [-1, 1], where arccos has no value.
    cosine = np.clip((starts * ends).sum(-1, keepdims=True), -1.0, 1.0)
    angles = places[:, None] * np.arccos(cosine)
    across = _unit(ends - cosine * starts)
    return np.sqrt(starts.shape[-1]) * (starts * np.cos(angles) + across * np.sin(angles))


def lerp(starts: Array, ends: Array, places: Array) -> Array:
    """Interpolate linearly, `start + (end - start) · t`: `(n, …)` and `(n,)` → `(n, …)`."""
    places = places.reshape(-1, *[1] * (starts.ndim - 1))
    # float64, because float32 would lose most digits of a step of 10⁻⁴.
    return starts.astype(np.float64) + (ends.astype(np.float64) - starts) * places


def feature_distance(one: Array, other: Array) -> Array:
    """Compute `‖x/‖x‖ - y/‖y‖‖²`, from 0 to 4: `(n, dimensions)` twice → `(n,)`.

    Source: arXiv:1801.03924, section 3, equation 1, which sums over several layers and positions
    with learned weights; ours uses the single vector of a feature network.
    """
    return np.square(_unit(one) - _unit(other)).sum(-1)


def _unit(vectors: Array) -> Array:
    vectors = np.asarray(vectors, np.float64)
    norms = np.sqrt(np.square(vectors).sum(-1, keepdims=True))
    # A zero vector stays zero instead of NaN, as between equal latents.
    return vectors / np.where(norms > 0, norms, 1.0)


def _trimmed_mean(lengths: Array, trimmed: tuple[float, float] | None) -> float:
    if trimmed is not None:
        # `lower` and `higher`, as in the official code.
        low = np.percentile(lengths, trimmed[0], method="lower")
        high = np.percentile(lengths, trimmed[1], method="higher")
        lengths = lengths[(lengths >= low) & (lengths <= high)]
    return float(lengths.mean())
