"""Augmentation of discriminator inputs by `augmentation.kind`: draw random numbers, apply them.

The updates of both networks augment reals and fakes by the same functions, each time with new
draws. docs/augmentation.md lists the transforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.augmentation.colour import recolour
from pipeline.augmentation.corruption import corrupt
from pipeline.augmentation.diffaugment import apply_diffaugment, diffaugment_draws
from pipeline.augmentation.draws import Chances, Draws, ada_draws
from pipeline.augmentation.filtering import filter_bands
from pipeline.augmentation.geometry import warp
from pipeline.config import AugmentationConfig


def draws(key: Any, shape: Sequence[int], settings: AugmentationConfig) -> Draws:
    """Draw the random numbers for images of a shape, as a function of the key, int32 `(2,)`."""
    if settings.kind == "ada":
        return ada_draws(key, shape, settings.shares())
    if settings.kind == "diffaugment":
        return diffaugment_draws(key, shape)
    return Draws()


def augment(images: Any, draws: Draws, p: Any, settings: AugmentationConfig) -> Any:
    """Augment images, without clipping; with p = 0, ADA leaves images unchanged.

    The result has derivatives of every order with respect to the images. Each image depends on its
    own row of the draws only, not on the rest of the batch.

    Args:
        images: Images, float32, about -1 to 1, `(batch, height, width, 1 or 3)`.
        draws: Draws for the same batch.
        p: Probability of each transform of ADA, `()`; not used by DiffAugment.
        settings: Configuration with which the draws were made.

    Source: arXiv:2006.06676 (`ada`), arXiv:2006.10738 (`diffaugment`).
    """
    # No `match`: AutoGraph does not support it.
    if settings.kind == "ada":
        chances = Chances(draws, p, settings.shares())
        # The order of the official code.
        for stage in (warp, recolour, filter_bands, corrupt):
            images = stage(images, chances)
    elif settings.kind == "diffaugment":
        images = apply_diffaugment(images, draws, settings)
    return images
