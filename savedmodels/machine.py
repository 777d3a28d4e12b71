"""Facts about a machine that decide the last bits of floating-point results.

Exports record them, so that `growgan verify` knows whether to compare answers bit for bit.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_CPU_KEYS = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU variant", "CPU part")
# TensorFlow chooses kernels by CPU flags and environment variables with these prefixes.
_VECTOR_FLAGS = re.compile(r"sse|ssse|avx|fma|f16c|amx|asimd|neon|sve|bf16|fphp|i8mm|dotprod")
_SETTINGS = (
    *("ONEDNN_", "DNNL_", "TF_ONEDNN_", "TF_ENABLE_ONEDNN_"),
    *("TF_XLA_", "XLA_", "NVIDIA_TF32"),
)


@dataclass(frozen=True)
class Machine:
    """Kind of machine: equal ones with equal thread counts compute equal bits, except on GPUs."""

    tensorflow: str
    processor: str
    # Kernels choose the order of sums by vector instructions and cache sizes.
    instructions: str
    caches: str
    c_library: str  # its math functions are called by some kernels
    settings: str
    gpus: str  # TensorFlow chooses their algorithms in each process by a measurement

    def differences(self, other: Machine) -> str:
        """Describe the fields that differ from `other`; empty if none does."""
        theirs = asdict(other)
        return ", ".join(
            f"{name.replace('_', ' ')} {_describe_difference(value, theirs[name])}"
            for name, value in asdict(self).items()
            if value != theirs[name]
        )


def this_machine() -> Machine:
    """Describe the machine that this process runs on."""
    # Import here, so that reading golden requests does not start TensorFlow.
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    details = (tf.config.experimental.get_device_details(gpu) for gpu in gpus)
    facts = _parse_cpu_info(_CPU_INFO.read_text() if _CPU_INFO.exists() else "")
    settings = sorted(name for name in os.environ if name.startswith(_SETTINGS))
    # Arm calls the flags `Features`.
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    return Machine(
        tensorflow=tf.__version__,
        processor=" ".join(facts[key] for key in _CPU_KEYS if key in facts) or platform.processor(),
        instructions=" ".join(sorted(filter(_VECTOR_FLAGS.match, flags))) or platform.machine(),
        caches=" ".join(file.read_text().strip() for file in sorted(_CACHES.glob("index*/size"))),
        c_library=" ".join(platform.libc_ver()),
        settings=" ".join(f"{name}={os.environ[name]}" for name in settings),
        gpus=", ".join(str(each.get("device_name", "unknown")) for each in details),
    )


def _parse_cpu_info(text: str) -> dict[str, str]:
    # Take the first processor only: all are alike.
    first = text.partition("\n\n")[0].splitlines()
    pairs = (line.partition(":") for line in first)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _describe_difference(value: str, other: str) -> str:
    """List the words that only one of two values has."""
    mine, theirs = value.split(), other.split()
    only_mine = " ".join(word for word in mine if word not in theirs)
    only_theirs = " ".join(word for word in theirs if word not in mine)
    return f"{only_mine or 'none'} in place of {only_theirs or 'none'}"
