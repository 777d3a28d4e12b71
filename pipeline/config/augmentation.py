"""Section `augmentation`: transforms of the images that the discriminator sees."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.section import Count, Section, Share

Transform = Literal[
    "xflip",
    "rotate90",
    "xint",
    "scale",
    "rotate",
    "aniso",
    "xfrac",
    "brightness",
    "contrast",
    "lumaflip",
    "hue",
    "saturation",
    "imgfilter",
    "noise",
    "cutout",
]
PipelineName = Literal[
    "blit",
    "geom",
    "color",
    "filter",
    "noise",
    "cutout",
    "bg",
    "bgc",
    "bgcf",
    "bgcfn",
    "bgcfnc",
]

BLIT: tuple[Transform, ...] = ("xflip", "rotate90", "xint")
GEOM: tuple[Transform, ...] = ("scale", "rotate", "aniso", "xfrac")
COLOR: tuple[Transform, ...] = ("brightness", "contrast", "lumaflip", "hue", "saturation")
PIPELINES: Mapping[PipelineName, tuple[Transform, ...]] = MappingProxyType(
    {
        "blit": BLIT,
        "geom": GEOM,
        "color": COLOR,
        "filter": ("imgfilter",),
        "noise": ("noise",),
        "cutout": ("cutout",),
        "bg": (*BLIT, *GEOM),
        "bgc": (*BLIT, *GEOM, *COLOR),
        "bgcf": (*BLIT, *GEOM, *COLOR, "imgfilter"),
        "bgcfn": (*BLIT, *GEOM, *COLOR, "imgfilter", "noise"),
        "bgcfnc": (*BLIT, *GEOM, *COLOR, "imgfilter", "noise", "cutout"),
    }
)
"""Transforms of `augmentation.pipeline`, under the names of the official code."""


class AugmentationConfig(Section):
    """Transforms of images, real and generated, before the discriminator sees them.

    It keeps the discriminator from learning few pictures by heart. docs/augmentation.md says which
    to take when.
    """

    kind: Literal["none", "ada", "diffaugment"] = "none"
    """`ada`: each transform of `pipeline` with a probability p that is steered while the run
    trains, or fixed by `probability`. `diffaugment`: all transforms of `policy`, always."""
    pipeline: PipelineName = "bgc"
    """`ada`: groups of transforms, alone or together: `blit` mirrors, turns by 90° and moves by
    whole pixels, `geom` scales, rotates and moves, `color` recolours, `filter` amplifies bands of
    frequencies; `noise`; `cutout`. `bgcfnc` has them all."""
    multipliers: dict[Transform, Share] = Field(default={})
    """`ada`: probability of a transform of the pipeline over p, 1 for those that are not named. 0
    leaves a transform out."""
    probability: Share | None = None
    """`ada`: p, None to steer it from 0 by the signs of the discriminator's scores of reals."""
    target: Share = 0.6
    """`ada`: mean sign of those scores, above which p rises and below which it falls."""
    rise_images: Count = 500_000
    """`ada`: real images in which p can rise from 0 to 1."""
    adjust_every: Count = 4
    """`ada`: steps between two adjustments of p."""
    policy: Annotated[
        tuple[Literal["color", "translation", "cutout"], ...], Field(min_length=1)
    ] = (
        "color",
        "translation",
        "cutout",
    )
    """`diffaugment`: which of its transforms."""

    @model_validator(mode="after")
    def _keys_are_the_kinds(self) -> AugmentationConfig:
        steering = ("target", "rise_images", "adjust_every")
        kinds = {name: "ada" for name in ("pipeline", "multipliers", "probability", *steering)}
        for name, kind in {**kinds, "policy": "diffaugment"}.items():
            value = getattr(self, name)
            if value == type(self).model_fields[name].default:
                continue
            if self.kind != kind:
                raise ValueError(
                    f"`augmentation.{name}` needs `augmentation.kind={kind}`. "
                    f"Received: {value} and {self.kind}"
                )
            if name in steering and self.probability is not None:
                raise ValueError(
                    f"`augmentation.{name}` steers p, which `augmentation.probability` fixes. "
                    f"Received: {value} and {self.probability}"
                )
        return self

    @model_validator(mode="after")
    def _names_fit(self) -> AugmentationConfig:
        strangers = [name for name in self.multipliers if name not in PIPELINES[self.pipeline]]
        if strangers:
            raise ValueError(
                "`augmentation.multipliers` must name transforms of `augmentation.pipeline`. "
                f"Received: {', '.join(strangers)} and {self.pipeline}"
            )
        if len(set(self.policy)) < len(self.policy):
            raise ValueError(
                "`augmentation.policy` must name each of its transforms once. "
                f"Received: {', '.join(self.policy)}"
            )
        return self

    @property
    def steered(self) -> bool:
        """Return whether p follows the discriminator."""
        return self.kind == "ada" and self.probability is None

    def shares(self) -> dict[Transform, float]:
        """The probability over p of each transform that is ever applied."""
        shares = {name: self.multipliers.get(name, 1.0) for name in PIPELINES[self.pipeline]}
        return {name: share for name, share in shares.items() if share}
