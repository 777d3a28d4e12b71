"""Translation rules from the names and layouts of official variables to ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from pipeline.families.network import START_RESOLUTION
from pipeline.families.official.pickles import Array

Layout: TypeAlias = Callable[[Array], Array]
"""Function from the official layout of a variable to ours."""

_AREA = (START_RESOLUTION, START_RESOLUTION)


def identity(value: Array) -> Array:
    """Return the array unchanged, for layouts that are equal."""
    return value


def to_first_pixels(kernel: Array) -> Array:
    """Reorder outputs of the dense layer to 4x4 pixels: pixel by pixel, not channel by channel."""
    pixels = kernel.reshape(len(kernel), -1, *_AREA).transpose(0, 2, 3, 1)
    return pixels.reshape(len(kernel), -1)


def from_first_pixels(kernel: Array) -> Array:
    """Reorder inputs of the dense layer from 4x4 pixels: pixel by pixel, not channel by channel."""
    features = kernel.shape[1]
    return kernel.reshape(-1, *_AREA, features).transpose(1, 2, 0, 3).reshape(-1, features)


def channels_last(maps: Array) -> Array:
    """Reorder constants or noise: `(1, channels, rows, columns) → (rows, columns, channels)`."""
    return maps[0].transpose(1, 2, 0)


def mirror(kernel: Array) -> Array:
    """Mirror both sides of a kernel `(rows, columns, …)`, as a transposed convolution does."""
    return kernel[::-1, ::-1]


class Rule(NamedTuple):
    """Translation of some official variables to our name and layout."""

    official: str  # Regular expression that matches the whole official name
    ours: str  # Our name without the network's prefix; may refer to groups of `official`
    layout: Layout = identity  # Function from the official layout to ours


def layer(
    official: str,
    ours: str,
    kernel: Layout = identity,
    bias: Layout = identity,
    separator: str = "/",
) -> tuple[Rule, Rule]:
    """Make the rules for a layer's kernel, officially named `weight`, and for its bias."""
    return (
        Rule(rf"{official}{separator}weight", f"{ours}/kernel", kernel),
        Rule(rf"{official}{separator}bias", f"{ours}/bias", bias),
    )


def translate(name: str, value: Array, rules: Iterable[Rule]) -> tuple[str, Array]:
    """Translate an official variable by the first rule whose `official` matches its name.

    Raises:
        LookupError: if no rule matches, or the array has too few dimensions for the layout.
        ValueError: if the array has another shape than the layout needs.
    """
    for rule in rules:
        if match := re.fullmatch(rule.official, name):
            # Names of TensorFlow layers are capitalised, such as `Conv0`; ours are not.
            return match.expand(rule.ours).lower(), rule.layout(value)
    raise LookupError(name)
