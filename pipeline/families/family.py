"""Networks of the family that a configuration names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pipeline.families.config import NetworkConfig


@dataclass(frozen=True)
class Family:
    """Makers of a family's networks.

    Args:
        generator: Maker of a generator, called as `Generator(config, channels=, label_size=,
            precision=, seed=, name=)`; its `model(resolution, fading=)` makes images.
        discriminator: Maker of a discriminator, called likewise; its model scores images.
    """

    generator: Callable[..., Any]
    discriminator: Callable[..., Any]


def family_of(config: NetworkConfig) -> Family:
    """Return the family of a configuration: `networks.py` beside the section that it is made of."""
    networks = import_module(f"{type(config).__module__.rpartition('.')[0]}.networks")
    return Family(generator=networks.Generator, discriminator=networks.Discriminator)
