"""The devices of a run, and which samples of the global batch each of its replicas takes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import tensorflow as tf

from pipeline.config import Config, RunConfig
from pipeline.errors import UserError


def make_logical_devices(run: RunConfig) -> None:
    """Divide the CPU into `run.replicas` devices where there is no GPU.

    To be called before TensorFlow first computes: later it has no effect.
    """
    if run.replicas is not None and not tf.config.list_physical_devices("GPU"):
        [cpu] = tf.config.list_physical_devices("CPU")
        devices = [tf.config.LogicalDeviceConfiguration() for _ in range(run.replicas)]
        with suppress(RuntimeError):  # Too late: `make_strategy` counts what there is.
            tf.config.set_logical_device_configuration(cpu, devices)


def make_strategy(config: Config) -> tf.distribute.Strategy:
    """The `tf.distribute` strategy of a configuration.

    Raises:
        UserError: if there are fewer devices than replicas, a batch does not divide by them, or a
            replica's share by the group of the minibatch standard deviation.
    """
    if config.run.strategy == "one_device":
        strategy: tf.distribute.Strategy = tf.distribute.OneDeviceStrategy(
            tf.config.list_logical_devices()[-1].name
        )
    else:
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        wanted = config.run.replicas or len(devices)
        if wanted > len(devices):
            raise UserError(
                "`run.replicas` must not exceed the devices. "
                f"Received: {wanted}, with {len(devices)} of them"
            )
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices[:wanted]])
    replicas = strategy.num_replicas_in_sync
    for phase in config.schedule.build().phases:
        share, rest = divmod(phase.batch_size, replicas)
        if rest or share % min(config.network.stddev_group, max(share, 1)):
            raise UserError(
                "`schedule.batch_size` must divide by the replicas, and each replica's share by "
                f"`network.stddev_group`. Received: {phase.batch_size} at {phase.resolution} px, "
                f"{replicas} replicas, group {config.network.stddev_group}"
            )
    return strategy


def share_of(samples: Any, replica: Any, replicas: int) -> Any:
    """The samples of one replica: `(batch, …) → (batch / replicas, …)`.

    Replica r takes the samples r, r + replicas, and so on, as `dataset_for` gives them to workers.
    A group of the minibatch standard deviation is strided too, so that as long as a share holds
    whole groups, the groups are those of the whole batch on one device.
    """
    if replicas == 1:
        return samples
    batch, *features = samples.shape
    return tf.reshape(samples, (batch // replicas, replicas, *features))[:, replica]


def in_order_of_replicas(samples: Any, replicas: int) -> Any:
    """The same samples, the share of the first replica first: a strategy splits them there."""
    return tf.concat([share_of(samples, replica, replicas) for replica in range(replicas)], axis=0)
