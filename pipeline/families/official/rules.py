"""Tables that translate official variables to our names and layouts."""

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
    """Keep a layout that is ours too."""
    return value


def to_first_pixels(kernel: Array) -> Array:
    """Reorder the kernel to the first pixels, `(latents, channels · 16) → (…, 16 · channels)`."""
    pixels = kernel.reshape(len(kernel), -1, *_AREA).transpose(0, 2, 3, 1)
    return pixels.reshape(len(kernel), -1)


def from_first_pixels(kernel: Array) -> Array:
    """Reorder the kernel of the last pixels, `(channels · 16, features) → (16 · channels, …)`."""
    features = kernel.shape[1]
    return kernel.reshape(-1, *_AREA, features).transpose(1, 2, 0, 3).reshape(-1, features)


def channels_last(maps: Array) -> Array:
    """Reorder one sample, `(1, channels, rows, columns) → (rows, columns, channels)`."""
    return maps[0].transpose(1, 2, 0)


def mirror(kernel: Array) -> Array:
    """Mirror a kernel `(rows, columns, …)`, as a transposed convolution applies it."""
    return kernel[::-1, ::-1]


class Rule(NamedTuple):
    """Our name and layout of some official variables.

    Args:
        official: Regular expression of their whole names.
        ours: Our name without the network's prefix, with the groups of `official`.
        layout: Change of the layout.
    """

    official: str
    ours: str
    layout: Layout = identity


def layer(
    official: str,
    ours: str,
    kernel: Layout = identity,
    bias: Layout = identity,
    separator: str = "/",
) -> tuple[Rule, Rule]:
    """Make the rules of a layer's kernel, which is `weight` in official names, and its bias."""
    return (
        Rule(rf"{official}{separator}weight", f"{ours}/kernel", kernel),
        Rule(rf"{official}{separator}bias", f"{ours}/bias", bias),
    )


def translate(name: str, value: Array, rules: Iterable[Rule]) -> tuple[str, Array]:
    """Translate an official variable by the first rule that has its name.

    Raises:
        LookupError: if no rule has its name, or its value has too few dimensions.
        ValueError: if its value has another shape than the rule's layout.
    """
    for rule in rules:
        if match := re.fullmatch(rule.official, name):
            # Names of TensorFlow layers are capitalised, such as `Conv0`; ours are not.
            return match.expand(rule.ours).lower(), rule.layout(value)
    raise LookupError(name)
