"""Published weights in our terms: the networks that they are for, and each weight by its name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import keras
import numpy as np

from pipeline.config import NetworkConfig
from pipeline.errors import UserError
from pipeline.families.family import family_of
from pipeline.interop.pickles import Array
from pipeline.training.synthesis.state import weights_of

Weights: TypeAlias = Mapping[str, Array]
"""By `<layer>/<weight>`, as in a checkpoint."""

NETWORKS = ("generator", "discriminator", "average")
"""Prefixes of the names of layers."""


@dataclass(frozen=True)
class Snapshot:
    """A moment of a training that others did.

    Args:
        network: The networks that the weights are for.
        channels: Of the images.
        label_size: Number of classes, 0 without labels.
        final: The last resolution that the networks were to grow to.
        resolution: That they had come to.
        fading: Whether that resolution was being faded in.
        weights: Of the generator, the discriminator and the average, their `alpha` among them;
            those of other resolutions may be there too.
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


def require_weights(snapshot: Snapshot) -> None:
    """Refuse settings that ask for more weights than a file holds, before memory is taken for them.

    Raises:
        UserError: if they do.
    """
    family = family_of(snapshot.network)
    for name, size_of in zip(
        NETWORKS,
        (family.generator_size, family.discriminator_size, family.generator_size),
        strict=True,
    ):
        held = sum(v.size for key, v in snapshot.weights.items() if key.startswith(f"{name}_"))
        asked = size_of(
            snapshot.network,
            snapshot.resolution,
            channels=snapshot.channels,
            label_size=snapshot.label_size,
            fading=snapshot.fading,
        ).parameters
        if asked > held:
            raise UserError(
                f"official weights must be as many as their settings ask for: {asked} of the "
                f"{name}. Received: {held}"
            )


def assign(models: Iterable[keras.Model], weights: Weights) -> None:
    """Give every weight of these models its value.

    Raises:
        UserError: if one has none, or one that does not fit.
    """
    for name, weight in weights_of(*models).items():
        value = weights.get(name)
        if value is None or value.shape != tuple(weight.shape):
            received = "none" if value is None else list(value.shape)
            raise UserError(
                f"the weight {name} must have the shape that the file's settings ask for: "
                f"{list(weight.shape)}. Received: {received}"
            )
        if not np.isfinite(value).all():
            raise UserError(f"official weights must be finite. Received: {name}, not so")
        weight.assign(value)
