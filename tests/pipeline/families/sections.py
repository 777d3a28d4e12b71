"""Section `network` of a configuration, by the name of its family."""

from __future__ import annotations

from typing import Any

from pipeline.families.config import NetworkConfig
from pipeline.families.progan.config import ProGANConfig
from pipeline.families.stylegan.config import StyleGANConfig
from pipeline.families.stylegan2.config import StyleGAN2Config

SECTIONS = {"progan": ProGANConfig, "stylegan": StyleGANConfig, "stylegan2": StyleGAN2Config}


def section_of(family: str = "progan", **keys: Any) -> NetworkConfig:
    """The section of a family, with these keys."""
    return SECTIONS[family](**keys)
