"""Which sizes are trained, and for how long."""

from __future__ import annotations

from pydantic import model_validator

from pipeline.schedule import Schedule, at_resolution, progressive
from pipeline.section import Count, Images, Rate, Resolution, Section


class ScheduleConfig(Section):
    """Sizes, and how long each is faded in and held.

    A mapping gives values from a resolution on: `{4: 128, 32: 64}` is 128 at 4, 8 and 16 px and 64
    from 32 px on.
    """

    resolution: Resolution
    """Final side of the images in pixels."""
    start_resolution: Resolution = 4
    """First side of the images in pixels."""
    hold_images: Images | dict[Resolution, Images] = 600_000
    """Images for which a size is trained after its fade."""
    fade_images: Images | dict[Resolution, Images] = 600_000
    """Images over which a size is faded in."""
    batch_size: Count | dict[Resolution, Count] = 16
    """Images per update of the discriminator over all replicas."""
    learning_rate: Rate | dict[Resolution, Rate] = 0.001
    """Adam's step size."""

    @model_validator(mode="after")
    def _consistent(self) -> ScheduleConfig:
        if self.start_resolution > self.resolution:
            raise ValueError(
                "`schedule.start_resolution` must not exceed `schedule.resolution`. "
                f"Received: {self.start_resolution} and {self.resolution}"
            )
        for name in ("hold_images", "fade_images", "batch_size", "learning_rate"):
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
        """The phases of the run."""
        return progressive(**{name: getattr(self, name) for name in type(self).model_fields})
