"""Models of an export, whose weights are baked in as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

    from savedmodels.sampler import Sampler, StyleSampler

MOST_IMAGES = 256
EXAMPLES = 3
"""Rows of the example that each signature has."""
LARGEST_LIMIT = 1_000_000
"""So many images of 32 pixels a side are beyond the 2 GiB that an answer may have."""


@dataclass(frozen=True)
class Exportable:
    """The models that signatures are made of.

    Args:
        sampler: Images of seeds, latents and styles by the generator.
        discriminator: Images, in some labelled families `[images, one-hot labels]`, to a dictionary
            of `scores` `(batch, 1)` and, in others, `logits` `(batch, classes)`; None for none.
        limit: Most images, or rows, of one request.

    Raises:
        ValueError: if `limit` is less than an example has, or too much for an answer.
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
        """The sampler, if it has styles."""
        from savedmodels.sampler import StyleSampler

        return self.sampler if isinstance(self.sampler, StyleSampler) else None
