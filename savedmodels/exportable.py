"""Models to export, with the values that their weights have now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

    from savedmodels.sampler import Sampler, StyleSampler

MOST_IMAGES = 256
"""Default limit on the images of one request."""
EXAMPLES = 3
"""Rows of the example request of each signature."""
LARGEST_LIMIT = 1_000_000  # images of 32 pixels a side already exceed the 2 GiB of an answer


@dataclass(frozen=True)
class Exportable:
    """Models that the signatures of a SavedModel use.

    Args:
        sampler: Sampler that makes images from seeds, latents or styles.
        discriminator: Discriminator from images, or in some families with labels
            `[images, one-hot labels]`, to a dictionary of `scores` `(batch, 1)` and in other such
            families `logits` `(batch, classes)`; None to export the generator only.
        limit: Largest number of images, or rows, in one request.

    Raises:
        ValueError: if `limit` is below `EXAMPLES` or above `LARGEST_LIMIT`.
    """

    sampler: Sampler
    discriminator: keras.Model | None = None
    limit: int = MOST_IMAGES

    def __post_init__(self) -> None:
        if not EXAMPLES <= self.limit <= LARGEST_LIMIT:
            raise ValueError(
                f"`limit` must be {EXAMPLES} to {LARGEST_LIMIT}. Received: limit={self.limit}"
            )

    @property
    def latent_size(self) -> int:
        """Length of a latent vector."""
        return int(self.sampler.model.inputs[0].shape[-1])

    @property
    def classes(self) -> int:
        """Number of classes, 0 without labels."""
        _, *labels = self.sampler.model.inputs
        return int(labels[0].shape[-1]) if labels else 0

    @property
    def style_sampler(self) -> StyleSampler | None:
        """Sampler if the family has styles, otherwise None."""
        # Imported here, so that the command line reads the limits without starting TensorFlow.
        from savedmodels.sampler import StyleSampler

        return self.sampler if isinstance(self.sampler, StyleSampler) else None
