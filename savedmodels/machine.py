"""What decides the last bits of an answer: the machine, and how its processor is used."""

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
"""Begins of the names of instructions that kernels are chosen by."""
_SETTINGS = (
    "ONEDNN_",
    "DNNL_",
    "TF_ONEDNN_",
    "TF_ENABLE_ONEDNN_",
    "TF_XLA_",
    "XLA_",
    "NVIDIA_TF32",
)
"""Begins of environment variables that choose kernels."""


@dataclass(frozen=True)
class Machine:
    """A kind of machine: two that are equal give the same bits, with as many threads.

    Sums are taken in the order that suits the vector instructions and the caches.

    Args:
        tensorflow: Version.
        processor: Vendor, family and model, or what the platform tells.
        instructions: For vectors.
        caches: Sizes by level.
        c_library: Which has the functions of numbers.
        settings: Environment variables that choose kernels.
        gpus: By name; their algorithms are chosen anew in each process.
    """

    tensorflow: str
    processor: str
    instructions: str
    caches: str
    c_library: str
    settings: str
    gpus: str

    def differences(self, other: Machine) -> str:
        """What the other has otherwise, in words; nothing if they are equal."""
        there = asdict(other)
        return ", ".join(
            f"{name.replace('_', ' ')} {_told(value, there[name])}"
            for name, value in asdict(self).items()
            if value != there[name]
        )


def this_machine() -> Machine:
    """The machine that this process runs on, as TensorFlow would use it here."""
    # Not above: what reads golden requests must not start TensorFlow.
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
    """The first processor's, by name, of the text of `/proc/cpuinfo`."""
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
    """One in place of the other, without the words that they share."""
    mine, theirs = value.split(), other.split()
    only = [[word for word in some if word not in more] for some, more in
            ((mine, theirs), (theirs, mine))]  # fmt: skip
    shown = [" ".join(words) or "none" for words in only]
    return f"{shown[0]} in place of {shown[1]}"
