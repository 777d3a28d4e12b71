"""Sections that configurations of several families share, and the facts that each family states."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from pipeline.section import Count, Rate, Section, Share

FORMER: Mapping[str, Any] = MappingProxyType(
    {
        **{"style_size": 512, "mapping_layers": 8, "mapping_rate": 0.01, "mixing": 0.9},
        **{"noise": True, "blur": True, "styles": True, "constant_input": True},
    }
)
"""Keys that configurations of growgan 0.1 held for every family, with the values that they then
had where a family lacks them. Digests of pipeline projects still count them."""


class NetworkConfig(Section):
    """The generator and the discriminator. docs/networks.md has the families."""

    has_styles: ClassVar[bool]
    """Whether a mapping network computes styles from latents."""
    grows: ClassVar[bool]
    """Whether training may start at a lower resolution and grow."""
    official_preset: ClassVar[str]
    """Preset that continues training from official weights."""

    family: str
    """Architecture."""
    latent_size: Count = 512
    """Length of a latent vector."""
    fmap_base: Count = 8192
    """Feature maps at resolution 2^r are `min(fmap_base / 2^(r-1), fmap_max)`."""
    fmap_max: Count = 512
    """Most feature maps of any layer."""
    stddev_group: Count = 4
    """Samples per group of the minibatch standard deviation."""
    fused: bool = True
    """Whether convolutions resample too: the same result with less arithmetic."""

    @model_validator(mode="before")
    @classmethod
    def _without_former_keys(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        lacked = [key for key in FORMER if key in values and key not in cls.model_fields]
        for key in lacked:
            if values[key] != FORMER[key]:
                raise ValueError(
                    f"`network.{key}` must be left at {FORMER[key]} with `network.family="
                    f"{cls.model_fields['family'].default}`, which has no such key. "
                    f"Received: {values[key]}"
                )
        return {key: value for key, value in values.items() if key not in lacked}


class StyledConfig(NetworkConfig):
    """Networks whose generator makes images of styles."""

    has_styles = True

    style_size: Count = 512
    """Length of a style, w, and width of the mapping's layers."""
    mapping_layers: Annotated[int, Field(ge=0)] = 8
    """Dense layers between latents and styles; with none, styles are the normalised latents."""
    mapping_rate: Rate = 0.01
    """Factor on the learning rate of those layers."""
    mixing: Share = 0.9
    """Share of the batches whose images take the styles of two latents, cut at one layer."""
    noise: bool = True
    """Whether each layer adds noise, scaled by a learned strength."""
