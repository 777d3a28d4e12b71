"""Which networks are trained, and what each family of them has."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.section import Count, Rate, Section, Share

_OF_STYLES = ("style_size", "mapping_layers", "mapping_rate", "mixing", "noise")
_OF_STYLEGAN = ("blur", "styles", "constant_input")
LACKED = MappingProxyType(
    {"progan": _OF_STYLES + _OF_STYLEGAN, "stylegan": (), "stylegan2": _OF_STYLEGAN}
)
"""Keys of `NetworkConfig` that a family has not."""


class NetworkConfig(Section):
    """The generator and the discriminator.

    Keys from `style_size` on are of families with styles. docs/networks.md has the families.
    """

    family: Literal["progan", "stylegan", "stylegan2"] = "progan"
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
    """Whether resampling is done inside the convolutions: the same result, less arithmetic."""
    style_size: Count = 512
    """Length of a style, w, and width of the mapping's layers."""
    mapping_layers: Annotated[int, Field(ge=0)] = 8
    """Dense layers between latents and styles; with none, styles are the normalised latents."""
    mapping_rate: Rate = 0.01
    """Factor on the learning rate of those layers."""
    mixing: Share = 0.9
    """Share of the batches whose images take the styles of two latents, cut at one layer."""
    noise: bool = True
    """Whether every layer adds noise, with a strength that it learns."""
    blur: bool = True
    """`stylegan`: whether resampling is bilinear, by a filter of [1, 2, 1], or nearest and box."""
    styles: bool = True
    """`stylegan`: whether a style sets the mean and spread of each layer, or makes the first layer
    alone, as a latent vector does in ProGAN."""
    constant_input: bool = True
    """`stylegan`: whether the first layer is a learned constant, or made of the first style."""

    @model_validator(mode="after")
    def _keys_are_the_familys(self) -> NetworkConfig:
        for key in LACKED[self.family]:
            value, default = getattr(self, key), type(self).model_fields[key].default
            if value != default:
                raise ValueError(
                    f"`network.{key}` must be left at {default} with "
                    f"`network.family={self.family}`, which has no such key. Received: {value}"
                )
        if self.family == "stylegan2" and not self.mapping_layers:
            raise ValueError(
                "`network.mapping_layers` must be at least 1 with `network.family=stylegan2`. "
                "Received: 0"
            )
        if not self.styles and self.constant_input:
            raise ValueError(
                "`network.constant_input` must be false without `network.styles`: nothing would "
                "depend on latents. Received: true"
            )
        if not self.styles and self.mixing:
            raise ValueError(
                "`network.mixing` must be 0 without `network.styles`: there is one style, which "
                f"cannot be mixed. Received: {self.mixing}"
            )
        return self

    @property
    def has_styles(self) -> bool:
        """Whether there is a mapping from latents to styles."""
        return self.family != "progan"
