"""Official ProGAN weights: the configuration of equal networks, and a name for each variable.

Source: arXiv:1710.10196 and the official `G_paper` and `D_paper`.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.families.official import growing
from pipeline.families.official.growing import WEIGHTS, rgb_of
from pipeline.families.official.layouts import from_pixels, mirrored, to_pixels
from pipeline.families.official.pickles import Array, Networks
from pipeline.families.official.settings import Settings, Size, settings_of
from pipeline.families.official.snapshot import Snapshot
from pipeline.families.progan.config import ProGANConfig

FUNCTIONS = ("G_paper", "D_paper", "G_paper")
"""Official functions that build G, D and Gs."""

_PART = re.compile(r"(\d{1,4}x\d{1,4})/(Dense|Conv)([01]?)(_up|_down)?")


class ProganSettings(Settings):
    """Settings of `G_paper` and `D_paper`; each function ignores those of the other."""

    latent_size: Size | None = None
    normalize_latents: Literal[True] = True
    use_pixelnorm: Literal[True] = True
    pixelnorm_epsilon: Annotated[float, Field(ge=1e-8, le=1e-8)] = 1e-8
    use_leakyrelu: Literal[True] = True
    fused_scale: Any = None
    """Not used: names of variables show it, also where the source code in a file has another
    default."""
    mbstd_group_size: Annotated[int, Field(ge=2, le=2**20)] = 4


def snapshot_of(networks: Networks) -> Snapshot:
    """Convert official networks to our configuration, names and layouts.

    Raises:
        UserError: if no configuration of ours makes equal networks.
    """
    settings = [settings_of(ProganSettings, each.settings) for each in networks]
    generator, critic, _ = settings
    # Unset, `latent_size` follows from the feature maps. Fused layers are named `Conv1_down`.
    config = ProGANConfig(
        latent_size=generator.latent_size or min(generator.fmap_base, generator.fmap_max),
        fmap_base=generator.fmap_base,
        fmap_max=generator.fmap_max,
        stddev_group=critic.mbstd_group_size,
        fused=not any("/Conv1/" in variable for variable in networks[1].variables),
    )
    return growing.snapshot_of(
        networks, settings, config, partial(weight_of, final=generator.resolution)
    )


def weight_of(name: str, value: Array, *, final: int) -> tuple[str, Array] | None:
    """Translate an official variable to our name, without the network's prefix, and our layout.

    Args:
        name: Official name, such as `16x16/Conv0_up/weight`.
        value: Value of the variable, or of its gradient.
        final: Resolution at level of detail 0.

    Returns:
        Name and value, or None for a variable that is not a weight.

    Raises:
        LookupError: if ProGAN has no such variable.
        ValueError: if it has another shape there.
    """
    if name == "lod":
        return None
    block, _, kind = name.rpartition("/")
    weight = WEIGHTS[kind]
    if rgb := rgb_of(block, final):
        return f"{rgb}/{weight}", value
    part = _PART.fullmatch(block)
    if part is None:
        raise LookupError(block)
    size, layer, number, resample = part.groups()
    ours = f"{size}_{layer.lower()}{number}/{weight}"
    if weight == "kernel":
        match layer, number, resample:
            case "Dense", "", _:
                return ours, to_pixels(value)
            case "Dense", "0", _:
                return ours, from_pixels(value)
            case "Conv", _, "_up":
                # Fused kernels are stored for a transposed convolution: (rows, columns, out, in).
                return ours, mirrored(value).transpose(0, 1, 3, 2)
    return ours, value
