"""Facts about a machine that decide the last bits of floating-point results."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path

_PROCESSORS = Path("/proc/cpuinfo")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_MODEL = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU variant", "CPU part")
# Prefixes of CPU flags and of environment variables by which TensorFlow chooses kernels.
_VECTORS = re.compile(r"sse|ssse|avx|fma|f16c|amx|asimd|neon|sve|bf16|fphp|i8mm|dotprod")
_SETTINGS = (
    *("ONEDNN_", "DNNL_", "TF_ONEDNN_", "TF_ENABLE_ONEDNN_"),
    *("TF_XLA_", "XLA_", "NVIDIA_TF32"),
)


@dataclass(frozen=True)
class Machine:
    """Kind of machine: equal ones with equal thread counts agree bit for bit."""

    tensorflow: str
    processor: str
    # Kernels sum in an order that suits the vector instructions and the cache sizes.
    instructions: str
    caches: str
    c_library: str  # Some kernels call its math functions.
    settings: str
    gpus: str  # Their algorithms are chosen anew in each process.

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
    settings = sorted(name for name in os.environ if name.startswith(_SETTINGS))
    # `Features` on Arm.
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    return Machine(
        tensorflow=tf.__version__,
        processor=" ".join(facts[key] for key in _MODEL if key in facts) or platform.processor(),
        instructions=" ".join(sorted(filter(_VECTORS.match, flags))) or platform.machine(),
        caches=" ".join(file.read_text().strip() for file in sorted(_CACHES.glob("index*/size"))),
        c_library=" ".join(platform.libc_ver()),
        settings=" ".join(f"{name}={os.environ[name]}" for name in settings),
        gpus=", ".join(str(each.get("device_name", "unknown")) for each in details),
    )


def _facts_of(processors: str) -> dict[str, str]:
    # The first processor stands for all.
    first = processors.partition("\n\n")[0].splitlines()
    pairs = (line.partition(":") for line in first)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _told(value: str, other: str) -> str:
    """Name the words that only one of two values has."""
    mine, theirs = value.split(), other.split()
    only_mine = " ".join(word for word in mine if word not in theirs)
    only_theirs = " ".join(word for word in theirs if word not in mine)
    return f"{only_mine or 'none'} in place of {only_theirs or 'none'}"
