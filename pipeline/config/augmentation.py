"""Section `augmentation` of the configuration: transforms of what the discriminator sees."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from pipeline.section import Count, Section, Share

Blit = Literal["xflip", "rotate90", "xint"]
Geom = Literal["scale", "rotate", "aniso", "xfrac"]
Color = Literal["brightness", "contrast", "lumaflip", "hue", "saturation"]
Transform = Literal[Blit, Geom, Color, "imgfilter", "noise", "cutout"]
PipelineName = Literal[
    "blit", "geom", "color", "filter", "noise", "cutout", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc"
]

BLIT: tuple[Transform, ...] = get_args(Blit)
GEOM: tuple[Transform, ...] = get_args(Geom)
COLOR: tuple[Transform, ...] = get_args(Color)
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
"""Transforms of each `augmentation.pipeline`, named as in the official code."""


class AugmentationConfig(Section):
    """Augmentation of reals and fakes before the discriminator sees them.

    With few training pictures, it keeps the discriminator from memorising them.
    docs/augmentation.md explains when to use which kind.
    """

    kind: Literal["none", "ada", "diffaugment"] = "none"
    """`ada` applies each transform of `pipeline` with a probability p, which adapts during
    training or is fixed by `probability`. `diffaugment` always applies all of `policy`."""
    pipeline: PipelineName = "bgc"
    """`ada`: groups of transforms. `blit` mirrors, turns by 90° and moves by whole pixels; `geom`
    scales, rotates and moves; `color` changes colours; `filter` amplifies frequency bands; then
    `noise` and `cutout`. Initials combine groups: `bgcfnc` has all of them."""
    multipliers: dict[Transform, Share] = Field(default={})
    """`ada`: factor on p by transform, 1 for those not named; 0 leaves a transform out."""
    probability: Share | None = None
    """`ada`: fixed p; None starts p at 0 and adapts it to the signs of the scores of reals."""
    target: Share = 0.6
    """`ada`: mean sign of the scores of reals above which p rises, and below which it falls."""
    rise_images: Count = 500_000
    """`ada`: number of real images in which p moves from 0 to 1."""
    adjust_every: Count = 4
    """`ada`: number of steps between adjustments of p."""
    policy: Annotated[
        tuple[Literal["color", "translation", "cutout"], ...], Field(min_length=1)
    ] = ("color", "translation", "cutout")
    """`diffaugment`: transforms to apply."""

    @model_validator(mode="after")
    def _check_keys_of_kind(self) -> AugmentationConfig:
        steering = ("target", "rise_images", "adjust_every")
        kinds = {name: "ada" for name in ("pipeline", "multipliers", "probability", *steering)}
        for name, kind in {**kinds, "policy": "diffaugment"}.items():
            value = getattr(self, name)
            if value == type(self).model_fields[name].default:
                continue
            # Refuse a key of another kind, which would silently have no effect.
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
    def _check_transform_names(self) -> AugmentationConfig:
        unknown = [name for name in self.multipliers if name not in PIPELINES[self.pipeline]]
        if unknown:
            raise ValueError(
                "`augmentation.multipliers` must name transforms of `augmentation.pipeline`. "
                f"Received: {', '.join(unknown)} and {self.pipeline}"
            )
        if len(set(self.policy)) < len(self.policy):
            raise ValueError(
                "`augmentation.policy` must name each of its transforms once. "
                f"Received: {', '.join(self.policy)}"
            )
        return self

    @property
    def steered(self) -> bool:
        """True if p adapts to the discriminator's scores (ADA without a fixed `probability`)."""
        return self.kind == "ada" and self.probability is None

    def shares(self) -> dict[Transform, float]:
        """Factor on p for each transform of the pipeline, without those whose factor is 0."""
        shares = {name: self.multipliers.get(name, 1.0) for name in PIPELINES[self.pipeline]}
        return {name: share for name, share in shares.items() if share}
