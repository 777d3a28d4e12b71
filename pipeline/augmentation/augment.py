"""The augmentation that a configuration asks for: its draws, and images under them.

Reals and fakes go through the same function, in the updates of both networks, each time with draws
of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.augmentation.colour import recoloured
from pipeline.augmentation.corruption import corrupted
from pipeline.augmentation.diffaugment import diffaugment_draws, diffaugmented
from pipeline.augmentation.draws import Chances, Draws, ada_draws
from pipeline.augmentation.filtering import filtered
from pipeline.augmentation.geometry import warped
from pipeline.config import AugmentationConfig


def draws(key: Any, shape: Sequence[int], settings: AugmentationConfig) -> Draws:
    """The random numbers with which a batch of images is augmented: a function of the key.

    Args:
        key: A seed pair, int32 `(2,)`.
        shape: Shape of the images, `(batch, height, width, channels)`.
        settings: Which transforms they are for.
    """
    if settings.kind == "ada":
        return ada_draws(key, shape, settings.shares())
    if settings.kind == "diffaugment":
        return diffaugment_draws(key, shape)
    return Draws()


def augment(images: Any, draws: Draws, p: Any, settings: AugmentationConfig) -> Any:
    """Augmented images; those of p = 0 are as they were.

    Differentiable by the images any number of times. An image is a function of its own row of the
    draws: neither of the others, nor of their number.

    Args:
        images: Float32, about -1 to 1, `(batch, height, width, 1 or 3)`.
        draws: Draws of the same batch.
        p: Probability of each transform of ADA, `()`; DiffAugment has none.
        settings: Settings as for `draws`.

    Returns:
        Of the same shape, not clipped.

    Source: arXiv:2006.06676 (`ada`), arXiv:2006.10738 (`diffaugment`).
    """
    # No `match`: AutoGraph does not know it.
    if settings.kind == "ada":
        chances = Chances(draws, p, settings.shares())
        for stage in (warped, recoloured, filtered, corrupted):
            images = stage(images, chances)
    elif settings.kind == "diffaugment":
        images = diffaugmented(images, draws, settings)
    return images
