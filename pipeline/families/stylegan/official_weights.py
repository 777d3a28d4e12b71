"""Official StyleGAN weights: the configuration of equal networks, and a name for each variable.

Source: arXiv:1812.04948 and the official `G_style`, `G_mapping`, `G_synthesis` and `D_basic`.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pipeline.errors import UserError
from pipeline.families.network import START_RESOLUTION
from pipeline.families.official import growing
from pipeline.families.official.growing import WEIGHTS, rgb_of
from pipeline.families.official.layouts import from_pixels, mirrored, to_pixels
from pipeline.families.official.pickles import Array, Networks, OfficialNetwork
from pipeline.families.official.settings import Settings, Size, settings_of
from pipeline.families.official.snapshot import Snapshot
from pipeline.families.stylegan.config import StyleGANConfig
from pipeline.section import Rate, Share

FUNCTIONS = ("G_style", "D_basic", "G_style")
"""Official functions that build G, D and Gs."""

PARTS = {"mapping": "G_mapping", "synthesis": "G_synthesis"}

FUSED_FROM = 128
"""Resolution from which the official code fuses resampling if `fused_scale` is `auto`."""

_PART = re.compile(
    r"(\d{1,4})x\d{1,4}/(Const|Dense[01]?|Conv[01]?)(_up|_down)?(?:/(Noise|StyleMod))?"
)


class StyleganSettings(Settings):
    """Settings of all these functions; each ignores those of the others."""

    latent_size: Size = 512
    dlatent_size: Size = 512
    dlatent_broadcast: Any = None
    mapping_layers: Annotated[int, Field(ge=0, le=1024)] = 8
    mapping_fmaps: Size = 512
    mapping_lrmul: Rate = 0.01
    mapping_nonlinearity: Literal["lrelu"] = "lrelu"
    normalize_latents: Literal[True] = True
    nonlinearity: Literal["lrelu"] = "lrelu"
    use_styles: bool = True
    const_input_layer: bool = True
    use_noise: bool = True
    randomize_noise: Any = None
    use_pixel_norm: bool = False
    use_instance_norm: bool = True
    blur_filter: tuple[int, ...] | None = (1, 2, 1)
    fused_scale: Literal[True, False, "auto"] = "auto"
    style_mixing_prob: Share | None = 0.9
    truncation_psi: Any = None
    """Ignored, as are the other settings of truncation: we truncate only on request."""
    truncation_cutoff: Any = None
    truncation_psi_val: Any = None
    truncation_cutoff_val: Any = None
    dlatent_avg_beta: Any = None
    is_training: Any = None
    is_validation: Any = None
    mbstd_group_size: Annotated[int, Field(ge=2, le=2**20)] = 4
    mbstd_num_features: Literal[1] = 1

    @model_validator(mode="after")
    def _ours(self) -> StyleganSettings:
        if self.mapping_layers > 1 and self.mapping_fmaps != self.dlatent_size:
            raise UserError(
                "`mapping_fmaps` of an official network must be as ours: `dlatent_size`. "
                f"Received: {self.mapping_fmaps} and {self.dlatent_size}"
            )
        if self.use_instance_norm != self.use_styles or self.use_pixel_norm == self.use_styles:
            raise UserError(
                "an official network must be as ours: with styles instance norm alone, without "
                f"pixel norm alone. Received: `use_styles` {self.use_styles}, `use_instance_norm` "
                f"{self.use_instance_norm} and `use_pixel_norm` {self.use_pixel_norm}"
            )
        if self.blur_filter not in (None, (), (1, 2, 1)):
            raise UserError(
                "`blur_filter` of an official network must be as ours: [1, 2, 1] or none. "
                f"Received: {list(self.blur_filter or ())}"
            )
        return self

    def fused_at(self, side: int) -> bool:
        """Return true if the layer at this resolution fuses resampling."""
        return self.fused_scale is True or (self.fused_scale == "auto" and side >= FUSED_FROM)


def snapshot_of(networks: Networks) -> Snapshot:
    """Convert official networks to our configuration, names and layouts.

    Raises:
        UserError: if no configuration of ours makes equal networks.
    """
    settings = [settings_of(StyleganSettings, each.settings) for each in networks]
    generator, critic, average = settings
    for network, whole in ((networks[0], generator), (networks[2], average)):
        _require_parts(network, whole)
    styles = generator.use_styles
    config = StyleGANConfig(
        latent_size=generator.latent_size,
        fmap_base=generator.fmap_base,
        fmap_max=generator.fmap_max,
        stddev_group=critic.mbstd_group_size,
        style_size=generator.dlatent_size,
        mapping_layers=generator.mapping_layers,
        mapping_rate=generator.mapping_lrmul,
        mixing=(generator.style_mixing_prob or 0.0) if styles else 0.0,
        noise=generator.use_noise,
        blur=bool(generator.blur_filter),
        styles=styles,
        constant_input=generator.const_input_layer,
    )
    return growing.snapshot_of(
        networks,
        settings,
        config,
        partial(weight_of, settings=generator),
        not_shown=("mixing", "fused"),
    )


def _require_parts(network: OfficialNetwork, whole: StyleganSettings) -> None:
    functions = {name: part.function for name, part in network.parts.items()}
    if functions != PARTS:
        raise UserError("G and Gs must be made of G_mapping and G_synthesis. Received: others")
    for part in network.parts.values():
        of_part = {**network.settings, **part.settings, "dlatent_broadcast": None}
        if settings_of(StyleganSettings, of_part) != whole.model_copy(
            update={"dlatent_broadcast": None}
        ):
            raise UserError("parts of a network must have its settings. Received: others")


def weight_of(name: str, value: Array, *, settings: StyleganSettings) -> tuple[str, Array] | None:
    """Translate an official variable to our name, without the network's prefix, and our layout.

    Args:
        name: Official name, such as `synthesis/16x16/Conv0_up/weight`.
        value: Value of the variable.
        settings: Settings of the generator.

    Returns:
        Name and value, or None for a variable that is not a weight.

    Raises:
        LookupError: if StyleGAN has no such variable.
        ValueError: if it has another shape there.
    """
    if name in ("lod", "synthesis/lod"):
        return None
    if name == "dlatent_avg":
        return "truncation/mean", value
    block, _, kind = name.rpartition("/")
    if mapping := re.fullmatch(r"mapping/Dense(\d{1,4})", block):
        return f"mapping_dense{mapping[1]}/{WEIGHTS[kind]}", value
    if name == "mapping/LabelConcat/weight":
        return "label_embedding/kernel", value
    generates = block.startswith("synthesis")
    block = block.removeprefix("synthesis").removeprefix("/")
    if rgb := rgb_of(block, settings.resolution):
        return f"{rgb}/{WEIGHTS[kind]}", value
    # Official maps are numbered by layer, two for each resolution, with channels first.
    if noise := re.fullmatch(r"noise(\d{1,2})", kind):
        side = START_RESOLUTION << int(noise[1]) // 2
        return f"noise_{side}x{side}_{int(noise[1]) % 2}/map", value[0].transpose(1, 2, 0)
    part = _PART.fullmatch(block)
    if part is None:
        raise LookupError(block)
    size, layer, resample, beside = part.groups()
    ours = f"{size}x{size}_{layer.lower().replace('const', 'constant')}"
    match beside, kind:
        case "Noise", "weight":
            return f"{ours}_noise/strength", value
        case "StyleMod", _:
            return f"{ours}_style/{WEIGHTS[kind]}", value
        case None, "const":
            return f"{ours}/constant", value[0].transpose(1, 2, 0)
        case None, "bias":
            # In the generator the bias is a layer of its own, after blur and noise.
            return f"{ours}_bias/bias" if generates else f"{ours}/bias", value
        case None, "weight":
            change = {"Dense": to_pixels, "Dense0": from_pixels}.get(layer)
            if resample == "_up" and settings.fused_at(int(size)):
                # Stored for a transposed convolution, but with inputs before outputs.
                change = mirrored
            return f"{ours}/kernel", change(value) if change else value
    raise LookupError(name)
