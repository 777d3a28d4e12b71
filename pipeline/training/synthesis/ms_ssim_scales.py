"""Scales of MS-SSIM: how many of Wang's five an image is large enough for, and their weights."""

from __future__ import annotations

WINDOW = 11  # Side of the Gaussian window, in pixels.
DEVIATION = 1.5  # Standard deviation of the window, in pixels.
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang's weights of the scales, finest first.


def window_of(side: int) -> int:
    """Choose the side of the window for images whose shorter side has `side` pixels."""
    return min(WINDOW, side)


def scale_weights(side: int) -> tuple[float, ...]:
    """Return the weight of each scale for images whose shorter side has `side` pixels; sum 1.

    Each scale halves the images, as long as the window fits: 1 scale up to 21 px, 2 up to 43 px, 3
    up to 87 px, 4 up to 175 px, 5 beyond.

    Source: Wang et al., "Multi-scale structural similarity for image quality assessment", 2003.
    """
    scales = 1
    while scales < len(WEIGHTS) and side >= WINDOW * 2**scales:
        scales += 1
    kept = WEIGHTS[:scales]
    return tuple(weight / sum(kept) for weight in kept)
