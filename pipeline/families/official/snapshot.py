"""Published weights in our terms: the networks that they are for, and each weight by its name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pipeline.families.config import NetworkConfig
from pipeline.families.official.pickles import Array

Weights: TypeAlias = Mapping[str, Array]
"""By `<layer>/<weight>`, as in a checkpoint."""

NETWORKS = ("generator", "discriminator", "average")
"""Prefixes of the names of layers."""


@dataclass(frozen=True)
class Snapshot:
    """A moment of a training that others did.

    Args:
        network: The networks that the weights are for.
        channels: Channels of the images.
        label_size: Number of classes, 0 without labels.
        final: The last resolution that the networks were to grow to.
        resolution: Resolution that they had come to.
        fading: Whether that resolution was being faded in.
        weights: Weights of the generator, the discriminator and the average, their `alpha` among
            them; those of other resolutions may be there too.
        not_shown: Keys of `network` that do not follow from the file, or change no result.
    """

    network: NetworkConfig
    channels: int
    label_size: int
    final: int
    resolution: int
    fading: bool
    weights: Weights
    not_shown: Collection[str] = ()
