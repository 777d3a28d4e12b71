"""Base of every section of a configuration, and types of its keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.functional_validators import AfterValidator

from pipeline.shape import LARGEST_SIDE, SMALLEST_SIDE, is_power_of_two


def _power_of_two(resolution: int) -> int:
    if not is_power_of_two(resolution):
        raise ValueError(f"must be a power of two from {SMALLEST_SIDE} to {LARGEST_SIDE}")
    return resolution


Resolution = Annotated[int, AfterValidator(_power_of_two)]
"""Side of images that may grow, in pixels."""
Side = Annotated[int, Field(ge=SMALLEST_SIDE, le=LARGEST_SIDE)]
"""Height or width of images, in pixels."""
Count = Annotated[int, Field(ge=1)]
Images = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Part of a configuration."""

    # Unknown keys are refused: a misspelt one would otherwise have no effect, without a word.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True)
class Decides:
    """Mark of a key, in its annotation, by the name of what its value decides."""

    what: str


def keys_that_decide(section: type[Section], what: Decides) -> tuple[str, ...]:
    """Return the keys of a section that bear a mark, in the order in which they are declared."""
    return tuple(name for name, key in section.model_fields.items() if what in key.metadata)
