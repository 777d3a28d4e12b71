"""Keys of section `network` that families of networks share, and facts that each family declares.

Each family's own keys are in its folder, in `config.py`.
"""

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
"""Keys that growgan 0.1 wrote for every family, each with the value in families that lack it.
Hashes of configurations include them, so that folders of earlier versions are found again."""


class NetworkConfig(Section):
    """Sizes of generator and discriminator; docs/networks.md describes the families."""

    has_styles: ClassVar[bool]
    """True if a mapping network computes styles from latents."""
    grows: ClassVar[bool]
    """True if training may start at a lower resolution and grow."""
    official_preset: ClassVar[str]
    """Preset with which `growgan import` continues training from official weights."""

    family: str
    """Name of the architecture."""
    latent_size: Count = 512
    """Length of a latent vector."""
    fmap_base: Count = 8192
    """Layers at resolution 2^r have `min(fmap_base / 2^(r-1), fmap_max)` feature maps."""
    fmap_max: Count = 512
    """Maximum number of feature maps of a layer."""
    stddev_group: Count = 4
    """Samples per group of the minibatch standard deviation, in the discriminator."""
    fused: bool = True
    """Merge each resampling with a convolution, which takes less arithmetic. The function
    computed is the same, except in ProGAN's discriminator."""

    @model_validator(mode="before")
    @classmethod
    def _without_former_keys(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        # Drop keys that this family never used, so that runs of growgan 0.1 still load.
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
    """Length of a style vector w, and units of each layer of the mapping network."""
    mapping_layers: Annotated[int, Field(ge=0)] = 8
    """Number of dense layers in the mapping network; with 0, styles are the normalised latents."""
    mapping_rate: Rate = 0.01
    """Multiplier of the learning rate in the mapping network."""
    mixing: Share = 0.9
    """Share of batches with style mixing: layers before a random cut take the style of one latent,
    later layers that of a second latent."""
    noise: bool = True
    """Add noise to the features of each layer, with a learned strength."""
