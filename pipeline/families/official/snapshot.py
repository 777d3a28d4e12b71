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
    """Published networks at one point of their training.

    Args:
        network: Configuration of the networks.
        channels: Channels of the images.
        label_size: Number of classes, 0 without labels.
        final: Final resolution of the training, in pixels.
        resolution: Resolution that the networks had reached, in pixels.
        fading: True if `resolution` was being faded in.
        weights: Weights of the generator, the discriminator and the EMA, including `alpha` of
            families that grow; weights for other resolutions may be among them.
        not_shown: Keys of `network` that a user may choose: the file does not determine their
            values, or they change no result.
    """

    network: NetworkConfig
    channels: int
    label_size: int
    final: int
    resolution: int
    fading: bool
    weights: Weights
    not_shown: Collection[str] = ()
