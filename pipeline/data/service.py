"""Decoding on other machines: a tf.data service that gives the stream of a single machine."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

Batch = dict[str, tf.Tensor]
NUMBER = "number"
"""Under which a batch carries its number in the stream."""


@dataclass(frozen=True)
class Service:
    """A running tf.data service.

    Args:
        address: Of its dispatcher, such as `grpc://host:5000`.
        workers: How many workers it has.
    """

    address: str
    workers: int


def dispatcher(port: int, workers: Sequence[str]) -> tf.data.experimental.service.DispatchServer:
    """Start the process that a run turns to.

    Args:
        port: On which it listens; 0 takes a free one.
        workers: Addresses of all its workers, `host:port`, which may start later.
    """
    return tf.data.experimental.service.DispatchServer(
        tf.data.experimental.service.DispatcherConfig(port=port, worker_addresses=list(workers))
    )


def worker(address: str, dispatcher: str) -> tf.data.experimental.service.WorkerServer:
    """Start a process that reads, decodes and batches.

    Args:
        address: Its own, `host:port`, as the dispatcher was told.
        dispatcher: Address of the dispatcher, `host:port`.
    """
    return tf.data.experimental.service.WorkerServer(
        tf.data.experimental.service.WorkerConfig(
            dispatcher_address=dispatcher,
            worker_address=address,
            port=int(address.rpartition(":")[2]),
        )
    )


def share_of_a_worker(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Of a stream of batches those that one service worker decodes, each with its number.

    Whole batches are shared out, not samples, and before they are decoded.
    """
    hint = tf.data.experimental.SHARD_HINT
    numbered = batches.enumerate().shard(hint, hint)
    return numbered.map(lambda number, batch: {**batch, NUMBER: number})


def through(service: Service, batches: tf.data.Dataset) -> tf.data.Dataset:
    """The batches of all workers, in the order of their numbers, which are taken off.

    Workers are read in turn, but which comes first is not defined: every `service.workers` batches
    are put in order.

    Args:
        service: Which makes the batches.
        batches: Made of those from `share_of_a_worker`; without end.
    """

    def in_order(group: Batch) -> Batch:
        order = tf.argsort(group.pop(NUMBER))
        return {name: tf.gather(values, order) for name, values in group.items()}

    distribute = tf.data.experimental.service.distribute(
        tf.data.experimental.service.ShardingPolicy.HINT,
        service.address,
        # One consumer reads the workers in turn; a name of its own, as a job is not begun twice.
        job_name=uuid.uuid4().hex,
        consumer_index=0,
        num_consumers=1,
    )
    return (
        batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
        .apply(distribute)
        .batch(service.workers)
        .map(in_order)
        .unbatch()
    )
