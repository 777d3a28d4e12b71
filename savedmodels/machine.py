"""Facts about a machine that decide the last bits of floating-point results."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

_PROCESSORS = Path("/proc/cpuinfo")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_MODEL = (
    "vendor_id", "cpu family", "model", "CPU implementer", "CPU variant", "CPU part"
)  # fmt: skip
_VECTORS = re.compile(r"sse|ssse|avx|fma|f16c|amx|asimd|neon|sve|bf16|fphp|i8mm|dotprod")
"""Prefixes of the CPU flags by which TensorFlow chooses kernels."""
_SETTINGS = (
    "ONEDNN_",
    "DNNL_",
    "TF_ONEDNN_",
    "TF_ENABLE_ONEDNN_",
    "TF_XLA_",
    "XLA_",
    "NVIDIA_TF32",
)
"""Prefixes of environment variables that choose kernels."""


@dataclass(frozen=True)
class Machine:
    """Kind of machine: equal ones with equal thread counts agree bit for bit.

    Kernels sum in an order that suits the vector instructions and the cache sizes.

    Args:
        tensorflow: Version of TensorFlow.
        processor: Vendor, family and model, or the platform's own description.
        instructions: Vector instruction sets.
        caches: Cache sizes by level.
        c_library: C library, whose math functions some kernels call.
        settings: Environment variables that choose kernels.
        gpus: GPU names; their algorithms are chosen anew in each process.
    """

    tensorflow: str
    processor: str
    instructions: str
    caches: str
    c_library: str
    settings: str
    gpus: str

    def differences(self, other: Machine) -> str:
        """Describe the fields that differ from `other`; empty if none does."""
        there = asdict(other)
        return ", ".join(
            f"{name.replace('_', ' ')} {_told(value, there[name])}"
            for name, value in asdict(self).items()
            if value != there[name]
        )


def this_machine() -> Machine:
    """Describe the machine that this process runs on."""
    # Imported here, so that reading golden requests does not start TensorFlow.
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    details = (tf.config.experimental.get_device_details(gpu) for gpu in gpus)
    facts = _facts_of(_PROCESSORS.read_text() if _PROCESSORS.exists() else "")
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    return Machine(
        tensorflow=tf.__version__,
        processor=" ".join(facts[key] for key in _MODEL if key in facts) or platform.processor(),
        instructions=" ".join(sorted(filter(_VECTORS.match, flags))) or platform.machine(),
        caches=" ".join(_contents(_CACHES.glob("index*/size"))),
        c_library=" ".join(platform.libc_ver()),
        settings=" ".join(_settings(os.environ)),
        gpus=", ".join(str(each.get("device_name", "unknown")) for each in details),
    )


def _facts_of(processors: str) -> dict[str, str]:
    """Parse the first processor of `/proc/cpuinfo` into a dictionary."""
    first = processors.partition("\n\n")[0].splitlines()
    pairs = (line.partition(":") for line in first)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _contents(files: Iterable[Path]) -> Iterator[str]:
    for file in sorted(files):
        yield file.read_text().strip()


def _settings(environment: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(environment):
        if name.startswith(_SETTINGS):
            yield f"{name}={environment[name]}"


def _told(value: str, other: str) -> str:
    """Name the words that only one of two values has."""
    mine, theirs = value.split(), other.split()
    only = [[word for word in some if word not in more] for some, more in
            ((mine, theirs), (theirs, mine))]  # fmt: skip
    shown = [" ".join(words) or "none" for words in only]
    return f"{shown[0]} in place of {shown[1]}"
