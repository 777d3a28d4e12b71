"""Import of official StyleGAN weights: configuration of equal networks, and names of weights.

Source: arXiv:1812.04948 and the official `G_style`, `G_mapping`, `G_synthesis` and `D_basic`.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pipeline.errors import UserError
from pipeline.families.official import growing
from pipeline.families.official.growing import SIDE
from pipeline.families.official.pickles import Networks, OfficialNetwork
from pipeline.families.official.rules import Rule, channels_last, layer, mirror, to_first_pixels
from pipeline.families.official.settings import Settings, Size, settings_of
from pipeline.families.official.snapshot import OfficialSnapshot
from pipeline.families.stylegan.config import StyleGANConfig
from pipeline.section import Rate, Share

FUNCTIONS = ("G_style", "D_basic", "G_style")
"""Official functions that build G, D and Gs (the EMA of G); a file is recognised by them."""

PARTS = {"mapping": "G_mapping", "synthesis": "G_synthesis"}
"""Parts of an official generator, with the functions that build them."""


class StyleganSettings(Settings):
    """Arguments of all official functions; each function ignores arguments of the others."""

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
    """Ignored, like the other truncation settings: we truncate only on request."""
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


def official_snapshot(networks: Networks) -> OfficialSnapshot:
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
    return growing.official_snapshot(
        networks, settings, config, weight_rules(generator), not_shown=("mixing", "fused")
    )


def _require_parts(network: OfficialNetwork, whole: StyleganSettings) -> None:
    functions = {name: part.function for name, part in network.parts.items()}
    if functions != PARTS:
        raise UserError("G and Gs must be made of G_mapping and G_synthesis. Received: others")
    for part in network.parts.values():
        settings = settings_of(StyleganSettings, {**network.settings, **part.settings})
        # Ignore `dlatent_broadcast`, the number of layers: it follows from the resolution.
        if settings.model_copy(update={"dlatent_broadcast": whole.dlatent_broadcast}) != whole:
            raise UserError("G and Gs must have the settings of their parts. Received: others")


def weight_rules(settings: StyleganSettings) -> list[Rule]:
    """List the rules that translate official variables, given the settings of the generator."""
    sides = [2**n for n in range(2, settings.resolution.bit_length())]
    # `auto` fuses layers at 128 px and above, for every final resolution.
    from_side = {True: 4, "auto": 128, False: math.inf}[settings.fused_scale]
    fused = "|".join(str(side) for side in sides if side >= from_side)
    rules = [
        *growing.RULES,
        *layer(rf"synthesis/{SIDE}/ToRGB", r"\1_to_rgb"),
        Rule("dlatent_avg", "truncation/mean"),
        Rule("mapping/LabelConcat/weight", "label_embedding/kernel"),
        *layer(r"mapping/Dense(\d{1,4})", r"mapping_dense\1"),
        Rule(rf"synthesis/{SIDE}/Const/const", r"\1_constant/constant", channels_last),
        Rule(rf"synthesis/{SIDE}/Dense/weight", r"\1_dense/kernel", to_first_pixels),
        # Mirror fused kernels, which are stored as a transposed convolution applies them, but with
        # inputs before outputs. This rule comes before the next one, whose pattern includes it.
        Rule(rf"synthesis/((?:{fused})x\d+)/Conv0_up/weight", r"\1_conv0/kernel", mirror),
        Rule(rf"synthesis/{SIDE}/Conv([01]?)(?:_up)?/weight", r"\1_conv\2/kernel"),
        # Official noise maps are numbered by layer, two for each resolution.
        *(
            Rule(f"synthesis/noise{number}", f"noise_{side}x{side}_{number % 2}/map", channels_last)
            for number, side in enumerate(side for side in sides for _ in range(2))
        ),
    ]
    for part, ours in (("Const", r"\1_constant"), ("(Dense|Conv[01]?)(?:_up)?", r"\1_\2")):
        rules += [
            # In our generator the bias is a layer of its own.
            Rule(f"synthesis/{SIDE}/{part}/bias", f"{ours}_bias/bias"),
            Rule(f"synthesis/{SIDE}/{part}/Noise/weight", f"{ours}_noise/strength"),
            *layer(f"synthesis/{SIDE}/{part}/StyleMod", f"{ours}_style"),
        ]
    return rules
