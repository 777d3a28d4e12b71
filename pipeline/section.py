"""Base class of configuration sections, types of their keys, and marks on keys."""

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
"""Side of square images in pixels, a power of two, as progressive growing needs."""
Side = Annotated[int, Field(ge=SMALLEST_SIDE, le=LARGEST_SIDE)]
"""Height or width of images, in pixels."""
Count = Annotated[int, Field(ge=1)]
Images = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Part of a configuration: a frozen pydantic model whose fields are the keys."""

    # Refuse unknown keys: a misspelt key would have no effect, silently.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True)
class Decides:
    """Mark in a key's `Annotated` type: the key's value affects the thing named by `what`."""

    what: str


def keys_that_decide(section: type[Section], mark: Decides) -> tuple[str, ...]:
    """Return the keys of a section that have a mark, in the order of their declaration."""
    return tuple(name for name, key in section.model_fields.items() if mark in key.metadata)
