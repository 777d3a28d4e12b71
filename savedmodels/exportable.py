"""Models that an export writes into a SavedModel, and limits on one request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

    from savedmodels.sampler import Sampler, StyleSampler

DEFAULT_LIMIT = 256  # Default limit on the number of images in one request.
EXAMPLES = 3  # Number of rows in the example request of each signature.
MAX_LIMIT = 1_000_000  # a million 32 x 32 images already exceed an answer's 2 GiB


@dataclass(frozen=True)
class Exportable:
    """Models that the signatures of a SavedModel use.

    Raises:
        ValueError: if `limit` is below `EXAMPLES` or above `MAX_LIMIT`.
    """

    sampler: Sampler  # Sampler that makes images from seeds, latents or styles
    discriminator: keras.Model | None = None
    """Model from images to a dictionary with `scores` `(batch, 1)`. With labels, some families take
    `[images, one-hot labels]`, and others add `logits` `(batch, classes)`. None to export the
    generator only."""
    limit: int = DEFAULT_LIMIT  # Maximum number of images, or rows, in one request

    def __post_init__(self) -> None:
        if not EXAMPLES <= self.limit <= MAX_LIMIT:
            raise ValueError(
                f"`limit` must be {EXAMPLES} to {MAX_LIMIT}. Received: limit={self.limit}"
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
        """The sampler if its family has styles, otherwise None."""
        # Import here, so that the command line can read the limits without starting TensorFlow.
        from savedmodels.sampler import StyleSampler

        return self.sampler if isinstance(self.sampler, StyleSampler) else None
