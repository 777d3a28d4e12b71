"""Published weights in our names and layouts: what each family's `official_weights` returns."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pipeline.families.config import NetworkConfig
from pipeline.families.official.pickles import Array

Weights: TypeAlias = Mapping[str, Array]
"""Arrays by `<network>_<layer>/<weight>`, as in a checkpoint."""

NETWORKS = ("generator", "discriminator", "average")
"""Networks of a checkpoint, by the prefix of their layers' names; `average` is the EMA."""


@dataclass(frozen=True)
class OfficialSnapshot:
    """Published networks at one point of their training."""

    network: NetworkConfig  # Configuration of the networks
    channels: int  # Channels of the images
    label_size: int  # Number of classes, 0 without labels
    final: int  # Final resolution of the training, in pixels
    resolution: int  # Resolution that the networks had reached, in pixels
    fading: bool  # True if `resolution` was being faded in
    weights: Weights
    """Weights of the generator, the discriminator and the EMA, including `alpha` of families that
    grow; weights for other resolutions may be among them."""
    not_shown: Collection[str] = ()
    """Keys of `network` that a user may choose: the file does not determine their values, or they
    change no result."""
