"""Share of a run that one process trains, and the memory that it may take."""

from __future__ import annotations

import math
import os

from pipeline.config import Config
from pipeline.training.distributed.cluster import cluster_of, require_shares, share_of_worker
from pipeline.training.distributed.replicas import gpus_here, replicas_here
from pipeline.training.preflight.estimate import GIB
from pipeline.training.preflight.free_memory import free_memory


def share_and_memory(config: Config, started: int | None) -> tuple[Config, float]:
    """Return the configuration of this process's share, and the memory free for it in bytes.

    Args:
        config: Configuration of the run.
        started: Number of workers that `--workers` starts on this machine; None without it.

    Raises:
        UserError: if `multi_worker` finds no workers, or the replicas cannot share a batch.
    """
    share, here, workers = config, 1, 1
    if config.run.strategy == "multi_worker":
        if started is not None and not os.environ.get("TF_CONFIG"):
            workers = here = started
        else:
            cluster = cluster_of(os.environ)
            workers, here = len(cluster.addresses), cluster.here
        share = share_of_worker(config, workers, gpus_here())
    tpu = config.run.strategy == "tpu"
    if not tpu:  # The number of TPU cores is not known yet.
        require_shares(config, workers * replicas_here(config.run))
    if config.run.memory_gib is not None:
        return share, config.run.memory_gib * GIB
    # Take unknown memory, such as that of a TPU, as infinite: it must not refuse a run.
    found = None if tpu else free_memory()
    return share, math.inf if found is None else found / here
