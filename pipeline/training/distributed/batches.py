"""Batches of a phase, distributed over the replicas of a strategy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from pipeline.config import Config
from pipeline.data.dataset import dataset_for
from pipeline.data.records import RecordSet
from pipeline.errors import UserError
from pipeline.schedule import Phase
from pipeline.training.distributed.replicas import in_order_of_replicas


def batches_of(
    config: Config,
    records: RecordSet,
    phase: Phase,
    images_seen: int,
    strategy: tf.distribute.Strategy,
) -> Iterator[Any]:
    """Yield batches of a phase without end, distributed over the replicas of a strategy."""
    data = config.data

    def make_dataset(reader: tf.distribute.InputContext) -> tf.data.Dataset:
        batches = dataset_for(
            records,
            phase,
            images_seen=images_seen,
            seed=config.run.seed,
            mirror=data.mirror,
            labels=data.labels,
            cache=data.cache,
            servers=data.servers,
            worker=reader.input_pipeline_id,
            workers=reader.num_input_pipelines,
        )
        replicas = reader.num_replicas_in_sync // reader.num_input_pipelines
        if replicas > 1:
            # Reorder: a strategy splits batches into consecutive parts, but our shares are strided.
            batches = batches.map(
                lambda batch: {
                    name: in_order_of_replicas(samples, replicas) for name, samples in batch.items()
                }
            ).rebatch(phase.batch_size // reader.num_replicas_in_sync, drop_remainder=True)
        # Declare the batches endless: else workers ask each other before each if there is one.
        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        return batches.apply(endless)

    try:
        one_device = isinstance(strategy, tf.distribute.OneDeviceStrategy)
        if one_device and "CPU" in strategy.extended.worker_devices[0]:
            # Do not distribute: nothing has to be sent to a device. A distributed dataset would add
            # an iterator whose tuning thread, which we cannot turn off, may take a minute to end.
            yield from make_dataset(tf.distribute.InputContext())
        else:
            yield from strategy.distribute_datasets_from_function(make_dataset)
    except tf.errors.DataLossError as error:
        raise UserError(
            "records must be whole; `growgan data verify` names the files that are not. "
            f"Received: {records.folder} ({error.message.splitlines()[0]})"
        ) from error
    except tf.errors.OpError as error:
        if not data.servers:
            raise
        raise UserError(
            "a server of `data.servers` has ended: start it again, and resume the run with "
            f"--resume auto. Received: {', '.join(data.servers)} "
            f"({error.message.splitlines()[0]})"
        ) from error
