"""Official networks that grow: their level of detail, their names, and checks that they match."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.errors import UserError
from pipeline.families.config import NetworkConfig
from pipeline.families.network import START_RESOLUTION
from pipeline.families.official.pickles import Array, Networks, OfficialNetwork
from pipeline.families.official.rules import Rule, from_pixels, layer, translated
from pipeline.families.official.settings import Settings
from pipeline.families.official.snapshot import NETWORKS, Snapshot
from pipeline.untrusted.safe_pickle import shown

SIDE = r"(\d{1,4}x\d{1,4})"
"""Regular expression of the resolution in an official name."""

RULES = (
    *layer(rf"(?:synthesis/)?{SIDE}/(To|From)RGB", r"\1_\2_rgb"),
    *layer(rf"{SIDE}/Conv([01]?)(?:_down)?", r"\1_conv\2"),
    *layer(rf"{SIDE}/Dense0", r"\1_dense0", from_pixels),
    *layer(rf"{SIDE}/Dense1", r"\1_dense1"),
)
"""Layers of the discriminator, and to-RGB layers."""


@dataclass(frozen=True)
class Detail:
    """Official level of detail: how far networks have grown.

    Args:
        level: Level: 0 at the final resolution, 1 at half of it; at 0.4 the final resolution fades
            in with alpha 0.6.
        final: Final resolution in pixels.

    Raises:
        UserError: if the level is out of range for the final resolution.
    """

    level: float
    final: int

    def __post_init__(self) -> None:
        if not 0 <= self.level <= math.log2(self.final // START_RESOLUTION):
            raise UserError(
                "a level of detail must be from 0 to that of 4 px. "
                f"Received: {self.level} of {self.final} px"
            )

    @property
    def resolution(self) -> int:
        """Resolution of the images, in pixels."""
        return self.final >> math.floor(self.level)

    @property
    def fading(self) -> bool:
        """True if that resolution is being faded in."""
        return not self.level.is_integer()

    @property
    def alpha(self) -> float:
        """Fade-in weight of that resolution."""
        return 1.0 - self.level % 1.0


def snapshot_of(
    networks: Networks,
    settings: Sequence[Settings],
    config: NetworkConfig,
    rules: Sequence[Rule],
    *,
    not_shown: Collection[str] = (),
) -> Snapshot:
    """Convert official G, D and Gs to our names and layouts, given the configuration they equal.

    Raises:
        UserError: if G, D and Gs do not match, or have variables that our networks lack.
    """
    generator, critic, average = (each.sizes for each in settings)
    if not generator == critic == average:
        raise UserError(
            "G, D and Gs must have been made for the same images, labels and feature maps. "
            f"Received: {generator}, {critic} and {average}"
        )
    final = settings[0].resolution
    detail, *others = details = [_detail_of(network, final) for network in networks]
    # Only alphas may differ: each network keeps its own.
    if any((d.resolution, d.fading) != (detail.resolution, detail.fading) for d in others):
        levels = ", ".join(str(each.level) for each in details)
        raise UserError(
            f"G, D and Gs must be at the same level of detail but for the fade. Received: {levels}"
        )
    weights: dict[str, Array] = {}
    for name, network, each in zip(NETWORKS, networks, details, strict=True):
        weights[f"{name}_fade/alpha"] = np.asarray(each.alpha)
        for variable, value in network.variables.items():
            if variable not in ("lod", "synthesis/lod"):  # `each` has it.
                weight, ours = _found(variable, value, rules, final)
                weights[f"{name}_{weight}"] = ours
    return Snapshot(
        network=config,
        channels=settings[0].num_channels,
        label_size=settings[0].label_size,
        final=final,
        resolution=detail.resolution,
        fading=detail.fading,
        weights=weights,
        not_shown=not_shown,
    )


def _detail_of(network: OfficialNetwork, final: int) -> Detail:
    level = network.variables.get("lod")
    if level is None or level.shape:
        raise UserError("an official network must have the number `lod`. Received: none")
    return Detail(float(level), final)


def _found(name: str, value: Array, rules: Sequence[Rule], final: int) -> tuple[str, Array]:
    def with_side(rgb: re.Match[str]) -> str:
        side = final >> int(rgb[2])
        return f"{side}x{side}/{rgb[1]}"

    try:
        # These layers alone are numbered from the final resolution down.
        return translated(re.sub(r"((?:To|From)RGB)_lod(\d{1,2})", with_side, name), value, rules)
    except (LookupError, ValueError) as error:
        raise UserError(
            "a variable must be one of the official networks', in its shape. "
            f"Received: {shown(name)} {list(value.shape)}"
        ) from error
