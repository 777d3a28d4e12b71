"""Cluster of a run: its workers and the index of this process, from the environment."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.config import Config

_PORTS = range(20_000, 30_000)
"""Ports for Slurm jobs. A job's id decides its port, because two jobs may share a node."""


@dataclass(frozen=True)
class Cluster:
    """Workers of a run; the first is the chief."""

    addresses: tuple[str, ...]  # Address of every worker, `host:port`, as other workers reach it
    index: int  # Index of this process among the workers

    @property
    def here(self) -> int:
        """Number of workers on this machine, this process included."""
        hosts = [address.rpartition(":")[0] for address in self.addresses]
        return hosts.count(hosts[self.index])

    def tf_config(self) -> str:
        """Format the cluster as a value of TF_CONFIG, TensorFlow's environment variable."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": self.addresses}, "task": task})


def cluster_of(environment: Mapping[str, str]) -> Cluster:
    """Read the cluster from TF_CONFIG, or else from the variables of a Slurm job step.

    A `chief` in TF_CONFIG becomes the first worker. Slurm must run one task per node.
    """
    if text := environment.get("TF_CONFIG"):
        return _of_tf_config(text)
    if "SLURM_STEP_NODELIST" in environment:
        return _of_slurm(environment)
    raise UserError(
        "`run.strategy=multi_worker` needs workers: `--workers 2` starts some here, and TF_CONFIG "
        "or `srun` name others. Received: no TF_CONFIG, and no variables of a Slurm step"
    )


def require_shares(config: Config, replicas: int) -> None:
    """Refuse batch sizes that this number of replicas cannot share equally, in whole groups."""
    for phase in config.schedule.build().phases:
        share, rest = divmod(phase.batch_size, replicas)
        if rest or share % min(config.network.stddev_group, max(share, 1)):
            raise UserError(
                "`schedule.batch_size` must divide by the replicas, and each replica's share by "
                f"`network.stddev_group`. Received: {phase.batch_size} at {phase.resolution} px, "
                f"{replicas} replicas, group {config.network.stddev_group}"
            )


def share_of_worker(config: Config, workers: int, gpus: int = 0) -> Config:
    """Return a configuration that costs one worker as much as its share of a run.

    It is a run on the worker's GPUs, or on one device, with a part of the batch and of the images.
    """
    shares = {
        name: _divide_up(getattr(config.schedule, name), workers)
        for name in ("batch_size", "hold_images", "fade_images")
    }
    return config.model_copy(
        update={
            "run": config.run.model_copy(update={"strategy": "mirrored" if gpus else "one_device"}),
            "schedule": config.schedule.model_copy(update=shares),
        }
    )


def _divide_up(value: int | dict[int, int], by: int) -> int | dict[int, int]:
    if isinstance(value, dict):
        return {size: -(-each // by) for size, each in value.items()}
    return -(-value // by)


def _of_tf_config(text: str) -> Cluster:
    try:
        config = json.loads(text)
        chief, workers = (_addresses(config["cluster"], job) for job in ("chief", "worker"))
        task = config["task"]
        tasks = [("chief", number) for number in range(len(chief))]
        tasks += [("worker", number) for number in range(len(workers))]
        # Check the index here: if it is too large, TensorFlow ends the process by a signal.
        index = tasks.index((task["type"], int(task["index"])))
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(
            'TF_CONFIG must be like {"cluster": {"worker": ["a:2222", "b:2222"]}, '
            f'"task": {{"type": "worker", "index": 0}}}}. Received: {text}'
        ) from error
    return Cluster((*chief, *workers), index)


def _addresses(jobs: Any, job: str) -> Sequence[str]:
    addresses = jobs.get(job, [])
    if not isinstance(addresses, list) or not all(isinstance(each, str) for each in addresses):
        raise TypeError(job)
    return addresses


def _of_slurm(environment: Mapping[str, str]) -> Cluster:
    # Not by TensorFlow's resolver: it sorts node10 before node2, but Slurm numbers in list order.
    nodes = environment["SLURM_STEP_NODELIST"]
    listed = subprocess.run(
        ["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=False
    )
    hosts = listed.stdout.split()
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "")
    if listed.returncode or tasks != str(len(hosts)):
        raise UserError(
            "`run.strategy=multi_worker` takes one task of Slurm a node: --ntasks-per-node=1. "
            f"Received: {tasks} tasks on {len(hosts)} nodes, {nodes}"
        )
    port = _PORTS[int(environment["SLURM_JOB_ID"]) % len(_PORTS)]
    return Cluster(tuple(f"{host}:{port}" for host in hosts), int(environment["SLURM_PROCID"]))
