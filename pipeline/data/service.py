"""Decode on other machines by tf.data services, with the same stream as on a single machine.

Each machine is a separate service, a dispatcher with one worker. A dispatcher with several workers
would skip a worker that is slow for a moment, and batches would come out of order.
"""

from __future__ import annotations

import re
import socket
import uuid
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from pipeline.data.sources.reason import as_user_error
from pipeline.errors import UserError

Batch = dict[str, tf.Tensor]
LARGEST_PORT = 65535
ANSWER_SECONDS = 10
AHEAD = 2
"""Batches to prefetch from each server."""


@contextmanager
def serving(address: str) -> Any:
    """Read, decode and batch for runs as a server until the block ends.

    It listens on two ports: that of `address`, by which runs find this machine, and the next one.

    Raises:
        UserError: if the address is invalid, or a port is taken.

    Example:
        >>> with serving("localhost:5001"):
        ...     time.sleep(60)
    """
    service = tf.data.experimental.service
    host, port = _host_and_port(address)
    for each in (port, port + 1):
        _require_free(each)
    dispatcher = service.DispatchServer(service.DispatcherConfig(port=port))
    worker = service.WorkerServer(
        service.WorkerConfig(
            dispatcher_address=f"localhost:{port}",
            worker_address=f"{host}:{port + 1}",
            port=port + 1,
        )
    )
    try:
        yield
    finally:
        worker.stop()
        dispatcher.stop()


def served(
    servers: Sequence[str], batches: tf.data.Dataset, finish: Callable[[Any], Batch]
) -> tf.data.Dataset:
    """Compute `batches.map(finish)` on servers in turn: batch k on server `k mod len(servers)`.

    The batches must be endless and of one size, because every server iterates over all of them.

    Raises:
        UserError: if an address is invalid, or no server answers there.
    """

    def numbered(number: tf.Tensor, batch: Any) -> tuple[tf.Tensor, Batch]:
        return number, sent(finish(batch))

    def sent(batch: Batch) -> Batch:
        # Tensors without elements crash the process that receives them (TensorFlow 2.21).
        return {name: values for name, values in batch.items() if name not in empty}

    def received(number: tf.Tensor, numbered_batch: tuple[tf.Tensor, Batch]) -> Batch:
        stated, batch = numbered_batch
        # Fail on a batch out of order, because it would silently break the reproducibility of the
        # run.
        with tf.control_dependencies([tf.debugging.assert_equal(stated, number)]):
            return {name: tf.identity(values) for name, values in batch.items()} | {
                name: tf.zeros(spec.shape, spec.dtype) for name, spec in empty.items()
            }

    empty = {
        name: spec
        for name, spec in batches.map(finish).element_spec.items()
        if spec.shape.num_elements() == 0
    }
    parts = []
    for index, address in enumerate(servers):
        _require_answer(address)
        part = batches.enumerate().shard(len(servers), index)
        # One job per server, taken in turn, keeps the order of a single machine.
        parts.append(
            part.map(numbered, num_parallel_calls=tf.data.AUTOTUNE)
            .apply(
                tf.data.experimental.service.distribute(
                    tf.data.experimental.service.ShardingPolicy.OFF,
                    f"grpc://{address}",
                    job_name=uuid.uuid4().hex,  # new, so that each iteration starts again
                )
            )
            .prefetch(AHEAD)
        )
    turns = tf.data.Dataset.range(len(servers)).repeat()
    return tf.data.Dataset.choose_from_datasets(parts, turns).enumerate().map(received)


def _host_and_port(address: str) -> tuple[str, int]:
    match = re.fullmatch(r"([^\s:/]+):(\d{1,5})", address)
    if not match or not 0 < int(match[2]) < LARGEST_PORT:
        raise UserError(f"a server's address must be like `host:5001`. Received: {address!r}")
    return match[1], int(match[2])


def _require_answer(address: str) -> None:
    # Asked first, because TensorFlow would retry for ever.
    rule = "each of `data.servers` must be running: `growgan data serve` starts one"
    with as_user_error(rule, address, OSError):
        socket.create_connection(_host_and_port(address), timeout=ANSWER_SECONDS).close()


def _require_free(port: int) -> None:
    # Asked first: gRPC would share a taken port, and either process might get a request.
    with socket.socket() as listening:
        # Do not count closed connections of an earlier server, which the system keeps for a while.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("", port))
        except OSError as error:
            raise UserError(f"the ports of a server must be free. Received: {port}") from error
