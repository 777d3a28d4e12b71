"""Import of a family's modules by its configuration: no code compares names of families."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

from pipeline.families.config import NetworkConfig


class Family(NamedTuple):
    """Classes of both networks: arguments as of `Network`; `model` builds a Keras model."""

    generator: Callable[..., Any]
    discriminator: Callable[..., Any]


def family_of(config: NetworkConfig) -> Family:
    """Import the network classes of a configuration's family."""
    networks = module_of(type(config), "networks")
    return Family(generator=networks.Generator, discriminator=networks.Discriminator)


def module_of(section: type[NetworkConfig], name: str) -> ModuleType:
    """Import a module from a family's folder, such as `networks`, given the family's section."""
    return import_module(f"{section.__module__.rpartition('.')[0]}.{name}")
