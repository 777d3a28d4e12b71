"""Devices of a run, and the samples of the global batch that each replica takes."""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress
from typing import Any

import tensorflow as tf

from pipeline.config import Config, RunConfig
from pipeline.errors import UserError, WorkerGone
from pipeline.training.distributed.cluster import cluster_of, require_shares

ANSWER_SECONDS = 10  # Seconds in which a TPU must accept a connection.


def gpus_here() -> int:
    """Count the GPUs of this process."""
    return len(tf.config.list_physical_devices("GPU"))


def make_logical_devices(run: RunConfig) -> None:
    """Divide the CPU into `run.replicas` devices if there is no GPU.

    Call it before TensorFlow first computes; later it has no effect.
    """
    if run.replicas is not None and not tf.config.list_physical_devices("GPU"):
        [cpu] = tf.config.list_physical_devices("CPU")
        devices = [tf.config.LogicalDeviceConfiguration() for _ in range(run.replicas)]
        with suppress(RuntimeError):  # Too late to divide; `make_strategy` counts the devices.
            tf.config.set_logical_device_configuration(cpu, devices)


def make_strategy(config: Config) -> tf.distribute.Strategy:
    """Make the `tf.distribute` strategy of a configuration.

    Under `multi_worker` it waits until all workers have connected.

    Raises:
        WorkerGone: if the other workers do not connect within an hour.
    """
    strategy: tf.distribute.Strategy
    match config.run.strategy:
        case "one_device":
            # Take the last device: GPUs are listed after the CPU.
            device = tf.config.list_logical_devices()[-1].name
            strategy = tf.distribute.OneDeviceStrategy(device)
        case "mirrored":
            strategy = tf.distribute.MirroredStrategy(_devices(config.run.replicas))
        case "multi_worker":
            strategy = _multi_worker_strategy()
        case "tpu":
            strategy = _tpu_strategy(config.run.tpu)
    require_shares(config, strategy.num_replicas_in_sync)
    return strategy


def replicas_here(run: RunConfig) -> int:
    """Count the replicas of this process, from the configuration and devices alone."""
    return 1 if run.strategy == "one_device" else run.replicas or max(gpus_here(), 1)


def _devices(wanted: int | None) -> list[str]:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if (wanted or 0) > len(devices):
        raise UserError(
            "`run.replicas` must not exceed the devices. "
            f"Received: {wanted}, with {len(devices)} of them"
        )
    return [device.name for device in devices[:wanted]]


def _multi_worker_strategy() -> tf.distribute.Strategy:
    cluster = cluster_of(os.environ)
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.index,
        num_accelerators={"GPU": gpus_here()},
        rpc_layer="grpc",
    )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except tf.errors.UnknownError as error:
        raise UserError(
            "a worker must be able to listen at its address. "
            f"Received: {cluster.addresses[cluster.index]} ({error.message})"
        ) from error
    except tf.errors.OpError as error:
        raise WorkerGone(
            f"not all workers of the run connected. Received: {error.message.splitlines()[0]}"
        ) from error


def _tpu_strategy(address: str | None) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(address)
        if at := re.fullmatch(r"grpc://([^/]+):(\d+)", resolver.master()):
            # TensorFlow would retry for ever.
            socket.create_connection((at[1], int(at[2])), timeout=ANSWER_SECONDS).close()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    # TensorFlow raises any of these if there is no TPU, or it does not answer.
    except (tf.errors.OpError, OSError, RuntimeError, ValueError) as error:
        raise UserError(
            "`run.strategy=tpu` needs a TPU, at `run.tpu` or the environment's TPU_NAME. "
            f"Received: {address or 'no address'} ({str(error).splitlines()[0]})"
        ) from error


def share_of(samples: Any, place: Any, replicas: int) -> Any:
    """Take share number `place` of a batch: `(batch, …) → (batch / replicas, …)`.

    Share p has samples p, p + replicas, and so on, as `dataset_for` shares batches among workers.
    """
    # Groups of the minibatch standard deviation are also strided. So if shares hold whole groups,
    # these are the same groups as those of the whole batch on one device.
    if replicas == 1:
        return samples
    batch, *features = samples.shape
    return tf.reshape(samples, (batch // replicas, replicas, *features))[:, place]


def first_sample_of(replica: Any, replicas: int, readers: int) -> Any:
    """Compute the index in the global batch of a replica's first sample.

    The data has `readers` (see `readers_of`). Reader r reads samples r, r + readers, and so on, and
    shares them among its own replicas in the same way.
    """
    own = replicas // readers
    return replica // own + readers * (replica % own)


def readers_of(strategy: tf.distribute.Strategy) -> int:
    """Count the processes, or hosts of TPUs, that each read a share of the batch."""
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return int(strategy.cluster_resolver.cluster_spec().num_tasks("worker"))
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return int(strategy.extended.num_hosts)
    return 1


def in_order_of_replicas(samples: Any, replicas: int) -> Any:
    """Sort samples by replica, for a strategy that splits batches into consecutive parts."""
    return tf.concat([share_of(samples, replica, replicas) for replica in range(replicas)], axis=0)
