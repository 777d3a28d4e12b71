"""Models of an export, whose weights are baked in as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

    from layers.truncation import Truncation

MOST_IMAGES = 256
EXAMPLES = 3
"""Rows of the example that each signature has."""
LARGEST_LIMIT = 1_000_000
"""So many images of 32 pixels a side are beyond the 2 GiB that an answer may have."""


@dataclass(frozen=True)
class StyleParts:
    """A generator taken apart where its styles are.

    Args:
        mapping: Latents, with labels `[latents, labels]`, to styles `(batch, style_size)`.
        synthesis: Styles of each layer `(batch, layers, style_size)` to images, under noise that
            is always the same.
        truncation: Draws styles towards their mean.
    """

    mapping: keras.Model
    synthesis: keras.Model
    truncation: Truncation


@dataclass(frozen=True)
class Exportable:
    """The models that signatures are made of.

    Args:
        model: Latents `(batch, latent_size)`, with labels `[latents, (batch, classes) one-hot]`, to
            images `(batch, height, width, channels)`, about [-1, 1].
        styles: Parts of `model`, in a family with styles.
        discriminator: Images, in some labelled families `[images, one-hot labels]`, to a dictionary
            of `scores` `(batch, 1)` and, in others, `logits` `(batch, classes)`; None for none.
        limit: Most images, or rows, of one request.

    Raises:
        ValueError: if `limit` is less than an example has, or too much for an answer.
    """

    model: keras.Model
    styles: StyleParts | None = None
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
        return int(self.model.inputs[0].shape[-1])

    @property
    def classes(self) -> int:
        """Number of classes, 0 without labels."""
        return int(self.model.inputs[1].shape[-1]) if len(self.model.inputs) > 1 else 0
