"""Look-up of the modules of the family that a configuration names."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

from pipeline.families.config import NetworkConfig


class Family(NamedTuple):
    """Network classes, which take the arguments of `Network` and build with `model`."""

    generator: Callable[..., Any]
    discriminator: Callable[..., Any]


def family_of(config: NetworkConfig) -> Family:
    """Import the networks of a configuration's family."""
    networks = module_of(type(config), "networks")
    return Family(generator=networks.Generator, discriminator=networks.Discriminator)


def module_of(section: type[NetworkConfig], name: str) -> ModuleType:
    """Import a module that lies beside a family's `config.py`."""
    # Found by its folder, so that no code compares names of families.
    return import_module(f"{section.__module__.rpartition('.')[0]}.{name}")
