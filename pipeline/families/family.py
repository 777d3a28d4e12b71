"""Look-up of the networks of the family that a configuration names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pipeline.families.config import NetworkConfig


@dataclass(frozen=True)
class Family:
    """Network classes of a family.

    Args:
        generator: Class of generators, called as `Generator(config, channels=, label_size=,
            precision=, seed=, name=)`; its `model(resolution, fading=)` makes images.
        discriminator: Class of discriminators, called with the same arguments; its model scores
            images.
    """

    generator: Callable[..., Any]
    discriminator: Callable[..., Any]


def family_of(config: NetworkConfig) -> Family:
    """Import the networks of a configuration's family: `networks.py` beside its `config.py`."""
    # Found by its folder, so that no code compares names of families.
    networks = import_module(f"{type(config).__module__.rpartition('.')[0]}.networks")
    return Family(generator=networks.Generator, discriminator=networks.Discriminator)
