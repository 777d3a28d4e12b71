"""Section `network` of StyleGAN."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from pipeline.families.config import StyledConfig


class StyleGANConfig(StyledConfig):
    """StyleGAN: styles modulate a synthesis network that grows."""

    grows = True
    official_preset = "stylegan-ffhq1024"

    family: Literal["stylegan"] = "stylegan"
    blur: bool = True
    """Filter with [1, 2, 1] when resampling; if false, use nearest neighbours and box means."""
    styles: bool = True
    """Give each layer a style, which sets the mean and deviation of its features; if false, the
    style enters the first layer only, like the latent in ProGAN."""
    constant_input: bool = True
    """Start the synthesis from a learned constant; if false, from a dense layer of the style."""

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
