"""Reader of PyTorch state dicts that were saved as `.npz` or safetensors files; runs no code."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from pipeline.errors import UserError
from pipeline.families.official.pickles import Array
from pipeline.families.official.reading import LARGEST_FILE, read_whole, refuse_damage
from pipeline.untrusted.npz_heads import read_headers
from pipeline.untrusted.safe_pickle import UnsafeFile

StateDict: TypeAlias = Mapping[str, Array]
"""Arrays by the name of their parameter or buffer, such as `synthesis.b4.const`."""

STATE: tuple[str, ...] = ("a state of PyTorch",)
"""Value of `FUNCTIONS` in families whose official weights are state dicts of PyTorch."""

_NAME = re.compile(r"(?:var/)?(G|D|G_ema)[/.](.*)")
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""NumPy dtype by the name that safetensors gives it, little-endian."""
_LARGEST_HEADER = 2**26  # Maximum bytes of the JSON header of a safetensors file.


def read_state_dict(path: Path) -> StateDict:
    """Read the floating-point arrays in an `.npz` or `.safetensors` file.

    Raises:
        UserError: if the file cannot be read, is damaged, or holds objects.
    """
    with refuse_damage(path, "a dump of weights must be an .npz or .safetensors file of numbers"):
        return _read_npz(path) if path.suffix == ".npz" else _parse_safetensors(read_whole(path))


def networks_in(arrays: StateDict) -> dict[str, StateDict]:
    """Group arrays by network, from names such as `G_ema/synthesis.b4.const` or `G_ema.synthesis…`.

    Raises:
        UserError: if the discriminator is missing, or both the generator and its EMA.
    """
    networks: dict[str, dict[str, Array]] = {}
    for name, value in arrays.items():
        if match := _NAME.fullmatch(name):
            networks.setdefault(match[1], {})[match[2]] = value
    if "D" not in networks or not {"G", "G_ema"} & networks.keys():
        raise UserError(
            "a dump of weights must have names such as G_ema/synthesis.b4.const, of D and of G or "
            f"G_ema or both. Received: {', '.join(sorted(networks)) or 'none of them'}"
        )
    return {**networks}


def _read_npz(path: Path) -> StateDict:
    with path.open("rb") as file:
        heads = read_headers(file)
        # Unpack only weights of networks, and only after a check of the sizes in the headers.
        names = [n for n, head in heads.items() if head.dtype.kind == "f" and _NAME.fullmatch(n)]
        if sum(heads[name].bytes for name in names) > LARGEST_FILE:
            raise UnsafeFile(f"it unpacks to more than {LARGEST_FILE} bytes")
        file.seek(0)  # NumPy starts at the current position.
        with np.load(file, allow_pickle=False) as found:  # A pickle could run any code.
            return {name: found[name] for name in names}


def _parse_safetensors(content: bytes) -> StateDict:
    size = int.from_bytes(content[:8], "little")
    if size > min(_LARGEST_HEADER, len(content) - 8):
        raise UnsafeFile("it is damaged")
    entries: dict[str, Any] = json.loads(content[8 : 8 + size])
    entries.pop("__metadata__", None)  # The only entry that is no tensor.
    tensors = memoryview(content)[8 + size :]
    offsets = [entry["data_offsets"] for entry in entries.values()]
    # Refuse overlapping tensors: a small file could claim a huge number of weights.
    if not all(0 <= start <= end <= len(tensors) for start, end in offsets) or sum(
        end - start for start, end in offsets
    ) > len(tensors):
        raise UnsafeFile("it is damaged")
    return {
        name: _tensor(entry, tensors)
        for name, entry in entries.items()
        if entry["dtype"] in _DTYPES
    }


def _tensor(entry: Mapping[str, Any], tensors: memoryview) -> Array:
    start, end = entry["data_offsets"]
    values: Array = np.frombuffer(tensors[start:end], _DTYPES[entry["dtype"]])
    if entry["dtype"] == "BF16":  # NumPy has no bfloat16, the upper 16 bits of a float32.
        values = (values.astype("<u4") << 16).view("<f4")
    return values.reshape(tuple(entry["shape"]))
