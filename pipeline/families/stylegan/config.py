"""Section `network` of StyleGAN."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from pipeline.families.config import StyledConfig


class StyleGANConfig(StyledConfig):
    """StyleGAN: styles modulate a synthesis that grows."""

    grows = True
    official_preset = "stylegan-ffhq1024"

    family: Literal["stylegan"] = "stylegan"
    blur: bool = True
    """Whether resampling is bilinear, by a filter of [1, 2, 1], or nearest and box."""
    styles: bool = True
    """Whether a style sets the mean and spread of each layer, or makes the first layer alone, as a
    latent vector does in ProGAN."""
    constant_input: bool = True
    """Whether the first layer is a learned constant, or made of the first style."""

    @model_validator(mode="after")
    def _styles_are_used(self) -> StyleGANConfig:
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
