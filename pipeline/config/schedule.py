"""Section `schedule` of the configuration: image sizes, and how long to train each."""

from __future__ import annotations

from pydantic import model_validator

from pipeline.schedule import Schedule, at_resolution, progressive
from pipeline.section import Count, Images, Rate, Section, Side
from pipeline.shape import SHAPE_RULE, Shape, is_power_of_two, is_usable


class ScheduleConfig(Section):
    """Image sizes, and for how many images each is faded in and held.

    Mappings set values by resolution: `{4: 128, 32: 64}` means 128 at 4, 8 and 16 px, and 64 from
    32 px on.
    """

    resolution: Side
    """Final side of the images in pixels, a power of two from 4 to 1024. Families that do not grow
    also accept sides such as 28, 48, 96 or 112; with `width`, this is the height."""
    width: Side | None = None
    """Width of rectangular images in pixels, in families that do not grow; null for squares."""
    start_resolution: Side = 4
    """Initial side of the images in pixels: `resolution` in families that do not grow."""
    hold_images: Images | dict[Side, Images] = 600_000
    """Number of images to train each size for, after its fade."""
    fade_images: Images | dict[Side, Images] = 600_000
    """Number of images over which each size fades in."""
    batch_size: Count | dict[Side, Count] = 16
    """Images per update of the discriminator, over all replicas."""
    learning_rate: Rate | dict[Side, Rate] = 0.001
    """Adam's learning rate."""

    @property
    def shape(self) -> Shape:
        """Height and width of the final images."""
        return self.resolution, self.width or self.resolution

    @model_validator(mode="after")
    def _consistent(self) -> ScheduleConfig:
        sides = (self.start_resolution, self.resolution)
        if sides[0] != sides[1] and not all(map(is_power_of_two, sides)):
            raise ValueError(
                "`schedule.start_resolution` and `schedule.resolution` must be powers of two from "
                "4 to 1024, or the same if images do not grow. "
                f"Received: {sides[0]} and {sides[1]}"
            )
        if self.width is not None and sides[0] != sides[1]:
            raise ValueError(
                "`schedule.width` needs images that do not grow: `schedule.start_resolution` must "
                f"be `schedule.resolution`. Received: {sides[0]} and {sides[1]}"
            )
        if not is_usable(self.shape):
            raise ValueError(
                f"`schedule.resolution` and `schedule.width`: {SHAPE_RULE}. "
                f"Received: {self.shape[0]} and {self.shape[1]}"
            )
        if self.start_resolution > self.resolution:
            raise ValueError(
                "`schedule.start_resolution` must not exceed `schedule.resolution`. "
                f"Received: {self.start_resolution} and {self.resolution}"
            )
        for name in ("hold_images", "fade_images", "batch_size", "learning_rate"):
            # The start resolution is never faded in.
            first = self.start_resolution * (2 if name == "fade_images" else 1)
            if first <= self.resolution:
                try:
                    at_resolution(getattr(self, name), first)
                except ValueError as error:
                    raise ValueError(f"`schedule.{name}`: {error}") from error
        if self.build().total_images == 0:
            raise ValueError("`schedule` must train for at least one image. Received: none")
        return self

    def build(self) -> Schedule:
        """Build the phases of the run."""
        return progressive(**{name: getattr(self, name) for name in type(self).model_fields})
