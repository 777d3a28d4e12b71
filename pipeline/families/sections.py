"""Registry of families: `network.family` chooses the class of the section `network`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import Discriminator, Tag

from pipeline.families.progan.config import ProGANConfig
from pipeline.families.stylegan.config import StyleGANConfig
from pipeline.families.stylegan2.config import StyleGAN2Config

FAMILIES = (ProGANConfig, StyleGANConfig, StyleGAN2Config)  # Class of each family's section.
DEFAULT_NETWORK = ProGANConfig()  # Section `network` of a configuration that has none.


def _family_of(network: Any) -> str:
    """Return the family that a section `network` names; the default family if it names none."""
    # pydantic resolves the union before it fills in defaults, so the key may be missing here.
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
"""Type of the section `network`: the class of the family that `network.family` names."""
