"""Import of official ProGAN weights: configuration of equal networks, names and layouts of weights.

Source: arXiv:1710.10196 and the official `G_paper` and `D_paper`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.families.official import growing
from pipeline.families.official.growing import SIDE
from pipeline.families.official.pickles import Array, Networks
from pipeline.families.official.rules import layer, mirror, to_first_pixels
from pipeline.families.official.settings import Settings, Size, settings_of
from pipeline.families.official.snapshot import OfficialSnapshot
from pipeline.families.progan.config import ProGANConfig

FUNCTIONS = ("G_paper", "D_paper", "G_paper")
"""Official functions that build G, D and Gs (the EMA of G); a file is recognised by them."""


def _fused_up(kernel: Array) -> Array:
    """Turn the kernel of a transposed convolution, `(rows, columns, out, in)`, into ours."""
    return mirror(kernel).transpose(0, 1, 3, 2)


RULES = (
    *growing.RULES,
    *layer(rf"{SIDE}/Dense", r"\1_dense", to_first_pixels),
    *layer(rf"{SIDE}/Conv0_up", r"\1_conv0", _fused_up),
)


class ProganSettings(Settings):
    """Arguments of `G_paper` and `D_paper`; each function ignores arguments of the other."""

    latent_size: Size | None = None
    normalize_latents: Literal[True] = True
    use_pixelnorm: Literal[True] = True
    pixelnorm_epsilon: Annotated[float, Field(ge=1e-8, le=1e-8)] = 1e-8
    use_leakyrelu: Literal[True] = True
    fused_scale: Any = None
    """Ignored: names of variables show whether layers are fused. The default of this setting
    depends on the source code in the file."""
    mbstd_group_size: Annotated[int, Field(ge=2, le=2**20)] = 4


def official_snapshot(networks: Networks) -> OfficialSnapshot:
    """Convert official networks to our configuration, names and layouts.

    Raises:
        UserError: if no configuration of ours makes equal networks.
    """
    settings = [settings_of(ProganSettings, each.settings) for each in networks]
    generator, critic, _ = settings
    # In the official code `latent_size` defaults to the feature maps of the first layer, and fused
    # layers are named `Conv1_down`, others `Conv1`.
    config = ProGANConfig(
        latent_size=generator.latent_size or min(generator.fmap_base, generator.fmap_max),
        fmap_base=generator.fmap_base,
        fmap_max=generator.fmap_max,
        stddev_group=critic.mbstd_group_size,
        fused=not any("/Conv1/" in variable for variable in networks[1].variables),
    )
    return growing.official_snapshot(networks, settings, config, RULES)
