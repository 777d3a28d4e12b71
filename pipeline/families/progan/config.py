"""Section `network` of ProGAN."""

from __future__ import annotations

from typing import Literal

from pipeline.families.config import NetworkConfig


class ProGANConfig(NetworkConfig):
    """ProGAN: a generator from latents to images, without styles; both networks grow."""

    has_styles = False
    grows = True
    official_preset = "progan-celebahq1024"

    family: Literal["progan"] = "progan"
