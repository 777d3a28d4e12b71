"""Sections of all families: `Config.network` is one of them, by `network.family`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import Discriminator, Tag

from pipeline.families.progan.config import ProGANConfig
from pipeline.families.stylegan.config import StyleGANConfig
from pipeline.families.stylegan2.config import StyleGAN2Config

FAMILIES = (ProGANConfig, StyleGANConfig, StyleGAN2Config)
"""Section of each family."""
DEFAULT_NETWORK = ProGANConfig()
"""Section of a configuration that names no family."""


def _family_of(network: Any) -> str:
    """Return the family that a `network` section names; the default one if it names none."""
    # The key has a default, so it may be missing, but the union is resolved before defaults are.
    default = DEFAULT_NETWORK.family
    if isinstance(network, Mapping):
        return str(network.get("family", default))
    return str(getattr(network, "family", default))


NetworkSection: TypeAlias = Annotated[
    Annotated[ProGANConfig, Tag("progan")]
    | Annotated[StyleGANConfig, Tag("stylegan")]
    | Annotated[StyleGAN2Config, Tag("stylegan2")],
    Discriminator(_family_of),
]
"""Section of the family that `network.family` names."""
