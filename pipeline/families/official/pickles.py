"""Reader of the pickles of official TensorFlow networks (ProGAN, StyleGAN); runs no code in them.

The untrusted file is unpickled by `safe_pickle`, which knows our stand-in classes only.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.families.official.reading import read_whole, refuse_damage
from pipeline.untrusted import safe_pickle

Array: TypeAlias = npt.NDArray[Any]

CLASSES = ("tfutil.Network", "dnnlib.tflib.network.Network")
"""Class name of a network in pickles of ProGAN, and in pickles of StyleGAN."""


@dataclass(frozen=True)
class OfficialNetwork:
    """Official network, as read from a pickle."""

    function: str  # Name of the function that built the network, such as `G_paper`
    settings: Mapping[str, Any]  # Arguments of the function
    variables: Mapping[str, Array]
    """Variables by official name; variables of a part are named `<part>/<name>`."""
    parts: Mapping[str, OfficialNetwork] = field(default_factory=dict)
    """Networks of which this network consists, such as `mapping`, by name."""


Networks: TypeAlias = tuple[OfficialNetwork, OfficialNetwork, OfficialNetwork]
"""Generator, discriminator and EMA of the generator: G, D and Gs."""


def read_networks(path: Path) -> Networks:
    """Read G, D and Gs from a pickle; the source code in it is neither run nor read.

    Raises:
        UserError: if the file cannot be read, is damaged, or does not hold exactly three networks.
    """
    with refuse_damage(path, "official weights must be a pickle of the networks G, D and Gs alone"):
        found = safe_pickle.load(io.BytesIO(read_whole(path)), _stand_ins())
        if type(found) not in (tuple, list) or len(found) != 3:
            raise safe_pickle.UnsafeFile("it holds no three networks")
        generator, discriminator, average = map(_network, found)
    return generator, discriminator, average


def _stand_ins() -> dict[str, Any]:
    # Map the classes that the file names to our own, so that no code of the file runs.
    records = {path: lambda path=path: safe_pickle.PickledObject(path) for path in CLASSES}
    dictionaries = dict.fromkeys(
        ("collections.OrderedDict", "dnnlib.util.EasyDict"), safe_pickle.Dictionary
    )
    return {**records, **dictionaries}


def _network(record: Any, *, with_parts: bool = True) -> OfficialNetwork:
    if type(record) is not safe_pickle.PickledObject:
        raise safe_pickle.UnsafeFile("it holds no three networks")
    state = record.state
    function, settings = state.get("build_func_name"), state.get("static_kwargs")
    # Do not read parts of parts: a malicious network may contain itself, an endless recursion.
    parts = state.get("components", {}) if with_parts else {}
    if type(function) is not str or not isinstance(settings, dict) or not isinstance(parts, dict):
        raise safe_pickle.UnsafeFile("a network without function and settings")
    networks = {name: _network(part, with_parts=False) for name, part in parts.items()}
    pairs = state.get("variables")
    if type(pairs) is not list:
        raise safe_pickle.UnsafeFile("a network without variables")
    variables = dict(map(_variable, pairs))
    for name, network in networks.items():
        variables |= {f"{name}/{each}": value for each, value in network.variables.items()}
    # Refuse one array under several names: a small file could claim a huge number of weights.
    if len({id(value) for value in variables.values()}) < len(variables):
        raise safe_pickle.UnsafeFile("two variables that are one")
    return OfficialNetwork(function, settings, variables, networks)


def _variable(pair: Any) -> tuple[str, Array]:
    if type(pair) not in (tuple, list) or len(pair) != 2 or type(pair[0]) is not str:
        raise safe_pickle.UnsafeFile("a variable without a name")
    name, value = pair
    # Accept NumPy scalars: TensorFlow returns variables without dimensions as such.
    if not isinstance(value, np.ndarray | np.generic) or value.dtype.kind != "f":
        raise safe_pickle.UnsafeFile(f"no numbers as the variable {safe_pickle.escaped(name)}")
    return name, np.asarray(value)
