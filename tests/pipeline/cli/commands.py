"""Commands of a tiny run, and what came of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# TensorFlow takes it only once a process, and the commands of these tests share one.
DEFAULT_THREADS = ("--set", "run.intra_op_threads=null")
TINY = (
    "--config", "quickstart",
    "--set", "schedule.resolution=8",
    "--set", "schedule.hold_images={4: 64, 8: 96}",
    "--set", "schedule.fade_images=96",
    "--set", "schedule.batch_size=8",
    "--set", "network.fmap_max=8",
    "--set", "network.latent_size=8",
    "--set", "run.log_images=16",
    *DEFAULT_THREADS,
    "--set", "run.checkpoint_images=64",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What a command did."""

    status: int
    out: str
    err: str


Growgan = Callable[..., Result]
