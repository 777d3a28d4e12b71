"""Checks of the settings of official TensorFlow networks: ours must be able to compute the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import UserError
from pipeline.section import Resolution
from pipeline.untrusted.safe_pickle import escaped

Checked = TypeVar("Checked", bound="Settings")
Size: TypeAlias = Annotated[int, Field(ge=1, le=2**20)]
One: TypeAlias = Annotated[float, Field(ge=1, le=1)]
"""Float that must be 1; `Literal` does not accept floats."""


class Settings(BaseModel):
    """Arguments of official functions that build networks, with their official defaults if any.

    Families add their own. Each type accepts only the values that our networks implement.
    """

    # Refuse unknown settings: they may change the network.
    model_config = ConfigDict(frozen=True, extra="forbid")

    num_channels: Literal[1, 3]
    resolution: Resolution
    label_size: Annotated[int, Field(ge=0, le=2**20)] = 0
    fmap_base: Size = 8192
    fmap_max: Size = 512
    fmap_decay: One = 1.0
    use_wscale: Literal[True] = True
    dtype: Any = None
    """Dtype of computations, ignored: weights are float32 with every value."""
    structure: Any = None
    """Kind of graph that the official code builds, ignored: the result is the same."""
    is_template_graph: Any = None


def settings_of(kind: type[Checked], values: Mapping[str, Any]) -> Checked:
    """Check the settings of a published network, and make `kind` of them.

    Raises:
        UserError: if a setting is unknown, or has a value that our networks do not implement.
    """
    try:
        return kind.model_validate({name: _plain(name, value) for name, value in values.items()})
    except ValidationError as error:
        detail = error.errors()[0]
        name = escaped(str(detail["loc"][0]))
        if detail["type"] == "extra_forbidden":
            raise UserError(
                f"settings of an official network must have known names. Received: {name}"
            ) from error
        rule = detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        received = "none" if detail["type"] == "missing" else escaped(str(detail["input"]))
        raise UserError(
            f"`{name}` of an official network must be as ours: {rule}. Received: {received}"
        ) from error


def _plain(name: str, value: Any) -> Any:
    # Convert NumPy scalars, which some files have, and `Literal` refuses.
    value = value.item() if isinstance(value, np.generic) else value
    for each in value if isinstance(value, list | tuple) else (value,):
        if not isinstance(each, bool | int | float | str | None):
            raise UserError(
                "settings of an official network must be plain values. "
                f"Received: {escaped(name)}, which is not"
            )
    return value
