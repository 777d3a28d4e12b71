"""Configuration sections that families share, and the facts that each family declares."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from pipeline.section import Count, Rate, Section, Share

FORMER_KEYS: Mapping[str, Any] = MappingProxyType(
    {
        **{"style_size": 512, "mapping_layers": 8, "mapping_rate": 0.01, "mixing": 0.9},
        **{"noise": True, "blur": True, "styles": True, "constant_input": True},
    }
)
"""Keys that growgan 0.1 wrote into the configuration of every family, with their values in
families that do not have them. Digests of pipeline projects still include them."""


class NetworkConfig(Section):
    """Generator and discriminator; docs/networks.md describes the families."""

    has_styles: ClassVar[bool]
    """True if a mapping network computes styles from latents."""
    grows: ClassVar[bool]
    """True if training may start at a lower resolution and grow."""
    official_preset: ClassVar[str]
    """Preset that continues training from official weights."""

    family: str
    """Architecture."""
    latent_size: Count = 512
    """Length of a latent vector."""
    fmap_base: Count = 8192
    """Number of feature maps at resolution 2^r: `min(fmap_base / 2^(r-1), fmap_max)`."""
    fmap_max: Count = 512
    """Largest number of feature maps of any layer."""
    stddev_group: Count = 4
    """Samples per group of the minibatch standard deviation."""
    fused: bool = True
    """Resample inside the convolutions, which takes less arithmetic. The result is the
    same, except in ProGAN's discriminator."""

    @model_validator(mode="before")
    @classmethod
    def _without_former_keys(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        # Runs of growgan 0.1 must load: drop their keys that this family never used.
        lacked = [key for key in FORMER_KEYS if key in values and key not in cls.model_fields]
        for key in lacked:
            if values[key] != FORMER_KEYS[key]:
                raise ValueError(
                    f"`network.{key}` must be left at {FORMER_KEYS[key]} with `network.family="
                    f"{cls.model_fields['family'].default}`, which has no such key. "
                    f"Received: {values[key]}"
                )
        return {key: value for key, value in values.items() if key not in lacked}


class StyledConfig(NetworkConfig):
    """Networks whose generator maps latents to styles, and styles to images."""

    has_styles = True

    style_size: Count = 512
    """Length of a style w, and width of the mapping's layers."""
    mapping_layers: Annotated[int, Field(ge=0)] = 8
    """Number of dense layers in the mapping; with 0, styles are the normalised latents."""
    mapping_rate: Rate = 0.01
    """Factor on the learning rate of the mapping's layers."""
    mixing: Share = 0.9
    """Share of the batches with style mixing: layers up to a cut take the styles of one latent,
    later layers those of another."""
    noise: bool = True
    """Add noise in each layer, with a learned strength."""
