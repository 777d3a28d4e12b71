"""Section `network` of StyleGAN2."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from pipeline.families.config import StyledConfig


class StyleGAN2Config(StyledConfig):
    """StyleGAN2: styles modulate the kernels of the synthesis network; networks do not grow."""

    grows = False
    official_preset = "stylegan2-ffhq1024"

    family: Literal["stylegan2"] = "stylegan2"

    @model_validator(mode="after")
    def _styles_are_mapped(self) -> StyleGAN2Config:
        if not self.mapping_layers:
            raise ValueError(
                "`network.mapping_layers` must be at least 1 with `network.family=stylegan2`. "
                "Received: 0"
            )
        return self
