"""Networks of the family that a configuration names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pipeline.families.config import NetworkConfig
from pipeline.families.network import Size


@dataclass(frozen=True)
class Family:
    """Makers of networks, and their sizes without making them.

    Args:
        generator: Maker of a generator, called as `Generator(config, channels=, label_size=,
            precision=, seed=, name=)`; its `model(resolution, fading=)` makes images.
        discriminator: Maker of a discriminator, called likewise; its model scores images.
        generator_size: Size of the generator's model.
        discriminator_size: Size of the discriminator's model.
    """

    generator: Callable[..., Any]
    discriminator: Callable[..., Any]
    generator_size: Callable[..., Size]
    discriminator_size: Callable[..., Size]


def family_of(config: NetworkConfig) -> Family:
    """Return the family of a configuration: `networks.py` beside the section that it is made of."""
    networks = import_module(f"{type(config).__module__.rpartition('.')[0]}.networks")
    return Family(
        generator=networks.Generator,
        discriminator=networks.Discriminator,
        generator_size=networks.generator_size,
        discriminator_size=networks.discriminator_size,
    )
