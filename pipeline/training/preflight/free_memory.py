"""Free memory for a process: of the machine, its control groups, or a GPU."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import psutil
import tensorflow as tf

ADDRESSES_OF_THREADS = 2**29
"""Bytes of address space reserved for stacks and heaps of threads that start later."""


def free_memory() -> int | None:
    """Bytes free for training; with GPUs, on the one that has least. None if unknown."""
    if tf.config.list_physical_devices("GPU"):
        return _free_on_gpus()
    return min(psutil.virtual_memory().available, *free_in_groups(), *free_address_space())


def free_address_space() -> list[int]:
    """Bytes left below the limit of address space (`ulimit -v`), as a list; empty without one."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return []
    return [max(0, limit - psutil.Process().memory_info().vms - ADDRESSES_OF_THREADS)]


def free_in_groups(
    groups: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")
) -> list[int]:
    """Bytes left below each memory limit of control groups (containers, Slurm), version 1 or 2."""
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if not controllers:
            base, limit, held = mounted, "memory.max", "memory.current"
        elif controllers == "memory":
            base, limit = mounted / "memory", "memory.limit_in_bytes"
            held = "memory.usage_in_bytes"
        else:
            continue
        own = base / name.lstrip("/")
        # Enclosing groups have limits as well. A container sees its own group as the root.
        for group in (own, *own.parents):
            if group.is_relative_to(base):
                free = _free_in_group(group, limit, held)
                found += [] if free is None else [free]
    return found


def _free_in_group(group: Path, limit: str, held: str) -> int | None:
    try:
        maximum, used = int((group / limit).read_text()), int((group / held).read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # No such file, or "max" instead of a limit.
        return None
    # Count inactive cached files as free: the kernel frees them when memory is needed.
    return maximum - used + int(statistics.get("inactive_file", 0))


def _free_on_gpus() -> int | None:
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    command += [f"--id={visible}"] if visible else []
    try:
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return min(int(line) for line in printed.splitlines()) * 2**20
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
