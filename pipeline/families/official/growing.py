"""Conversion of official networks that grow (ProGAN, StyleGAN) to our names and layouts."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence

import numpy as np

from pipeline.errors import UserError
from pipeline.families.config import NetworkConfig
from pipeline.families.network import START_RESOLUTION
from pipeline.families.official.pickles import Array, Networks, OfficialNetwork
from pipeline.families.official.rules import Rule, from_first_pixels, layer, translate
from pipeline.families.official.settings import Settings
from pipeline.families.official.snapshot import NETWORKS, OfficialSnapshot
from pipeline.untrusted.safe_pickle import escaped

SIDE = r"(\d{1,4}x\d{1,4})"
"""Regular expression for the resolution in an official name, such as `8x8`."""

SHARED = {"num_channels", "resolution", "label_size", "fmap_base", "fmap_max"}
"""Settings that must be equal in generator and discriminator."""

RULES = (
    *layer(rf"{SIDE}/(To|From)RGB", r"\1_\2_rgb"),
    *layer(rf"{SIDE}/Conv([01]?)(?:_down)?", r"\1_conv\2"),
    *layer(rf"{SIDE}/Dense0", r"\1_dense0", from_first_pixels),
    *layer(rf"{SIDE}/Dense1", r"\1_dense1"),
)
"""Rules for layers of the discriminator, and for to-RGB layers."""


def detail_at(level: float, final: int) -> tuple[int, bool, float]:
    """Return resolution, fading and alpha of an official level of detail (`lod`).

    The level is 0 at the final resolution and 1 at half the final resolution; at 0.4 the final
    resolution fades in with alpha 0.6.

    Raises:
        UserError: if the level is out of range for the final resolution.
    """
    if not 0 <= level <= math.log2(final // START_RESOLUTION):
        raise UserError(
            f"a level of detail must be from 0 to that of 4 px. Received: {level} of {final} px"
        )
    return final >> math.floor(level), not level.is_integer(), 1.0 - level % 1.0


def official_snapshot(
    networks: Networks,
    settings: Sequence[Settings],
    config: NetworkConfig,
    rules: Sequence[Rule],
    *,
    not_shown: Collection[str] = (),
) -> OfficialSnapshot:
    """Convert official G, D and Gs (the EMA of G) to our names and layouts.

    `settings` are in the order of `networks`; with `config` our networks compute the same.

    Raises:
        UserError: if G, D and Gs do not match, or have variables that our networks lack.
    """
    generator, critic, average = (
        tuple(each.model_dump(include=SHARED).values()) for each in settings
    )
    if not generator == critic == average:
        raise UserError(
            "G, D and Gs must have been made for the same images, labels and feature maps. "
            f"Received: {generator}, {critic} and {average}"
        )
    final = settings[0].resolution
    levels = [_level_of(network) for network in networks]
    details = [detail_at(level, final) for level in levels]
    resolution, fading, _ = details[0]
    # Alphas may differ: each network keeps its own.
    if any(detail[:2] != (resolution, fading) for detail in details):
        raise UserError(
            "G, D and Gs must be at the same level of detail but for the fade. "
            f"Received: {', '.join(map(str, levels))}"
        )
    weights: dict[str, Array] = {}
    for name, network, (_, _, alpha) in zip(NETWORKS, networks, details, strict=True):
        weights[f"{name}_fade/alpha"] = np.asarray(alpha)
        for variable, value in network.variables.items():
            if variable not in ("lod", "synthesis/lod"):  # Replaced by alpha.
                weight, ours = weight_of(variable, value, rules, final)
                weights[f"{name}_{weight}"] = ours
    return OfficialSnapshot(
        network=config,
        channels=settings[0].num_channels,
        label_size=settings[0].label_size,
        final=final,
        resolution=resolution,
        fading=fading,
        weights=weights,
        not_shown=not_shown,
    )


def _level_of(network: OfficialNetwork) -> float:
    level = network.variables.get("lod")
    if level is None or level.shape:
        raise UserError("an official network must have the number `lod`. Received: none")
    return float(level)


def weight_of(name: str, value: Array, rules: Sequence[Rule], final: int) -> tuple[str, Array]:
    """Translate a variable of networks with this final resolution; refuse unknown ones."""

    def with_side(rgb: re.Match[str]) -> str:
        side = final >> int(rgb[2])
        return f"{side}x{side}/{rgb[1]}"

    try:
        # To-RGB and from-RGB layers are numbered from the final resolution down: `ToRGB_lod0`.
        return translate(re.sub(r"((?:To|From)RGB)_lod(\d{1,2})", with_side, name), value, rules)
    except (LookupError, ValueError) as error:
        raise UserError(
            "a variable must be one of the official networks', in its shape. "
            f"Received: {escaped(name)} {list(value.shape)}"
        ) from error
