"""Decode training batches on other machines (`growgan data serve`, `data.servers`) by tf.data.

Training gets the same batches, in the same order, as without servers. Each server is a tf.data
service of its own, a dispatcher with one worker. A dispatcher with several workers would skip a
worker that is slow for a moment, and batches would come out of order.
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

Batch = dict[str, tf.Tensor]  # Tensors by name.
LARGEST_PORT = 65535
ANSWER_SECONDS = 10  # Seconds to wait for the connection to a server.
AHEAD = 2  # Batches to prefetch from each server.


@contextmanager
def serving(address: str) -> Any:
    """Serve decoded batches to training runs until the block ends.

    The server listens on two ports: the port of `address`, which runs connect to, and the next one.

    Raises:
        UserError: if the address is invalid, or a port is taken.

    Example:
        >>> with serving("localhost:5001"):
        ...     time.sleep(60)
    """
    service = tf.data.experimental.service
    host, port = _host_and_port(address)
    for used in (port, port + 1):
        _require_free(used)
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


def map_on_servers(
    servers: Sequence[str], batches: tf.data.Dataset, finish: Callable[[Any], Batch]
) -> tf.data.Dataset:
    """Compute `batches.map(finish)` on servers in turn: batch k on server `k mod len(servers)`.

    Every server reads the whole stream, and finishes only its own batches.

    Args:
        servers: Addresses of running servers.
        batches: Endless stream of batches of one size.
        finish: Function that turns an element of `batches` into tensors of fixed shapes.

    Raises:
        UserError: if an address is invalid, or no server answers there.
    """

    def number_and_finish(number: tf.Tensor, batch: Any) -> tuple[tf.Tensor, Batch]:
        return number, drop_empty(finish(batch))

    def drop_empty(batch: Batch) -> Batch:
        # Do not send tensors without elements: they crash the receiving process (TensorFlow 2.21).
        return {name: values for name, values in batch.items() if name not in empty}

    def check_and_restore(expected: tf.Tensor, numbered_batch: tuple[tf.Tensor, Batch]) -> Batch:
        number, batch = numbered_batch
        # Fail on a batch out of order, because the run would silently not be reproducible.
        with tf.control_dependencies([tf.debugging.assert_equal(number, expected)]):
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
        # Use one job per server, and take from them in turn, to keep the order of the stream.
        parts.append(
            part.map(number_and_finish, num_parallel_calls=tf.data.AUTOTUNE)
            .apply(
                tf.data.experimental.service.distribute(
                    tf.data.experimental.service.ShardingPolicy.OFF,
                    f"grpc://{address}",
                    job_name=uuid.uuid4().hex,  # not an earlier job, which would be half read
                )
            )
            .prefetch(AHEAD)
        )
    turns = tf.data.Dataset.range(len(servers)).repeat()
    return tf.data.Dataset.choose_from_datasets(parts, turns).enumerate().map(check_and_restore)


def _host_and_port(address: str) -> tuple[str, int]:
    match = re.fullmatch(r"([^\s:/]+):(\d{1,5})", address)
    # Below the largest port, because a server uses the next one as well.
    if not match or not 0 < int(match[2]) < LARGEST_PORT:
        raise UserError(f"a server's address must be like `host:5001`. Received: {address!r}")
    return match[1], int(match[2])


def _require_answer(address: str) -> None:
    # Connect once before TensorFlow does, which would retry for ever.
    rule = "each of `data.servers` must be running: `growgan data serve` starts one"
    with as_user_error(rule, address, OSError):
        socket.create_connection(_host_and_port(address), timeout=ANSWER_SECONDS).close()


def _require_free(port: int) -> None:
    # Check here: gRPC would share the port with another process, and either might get a request.
    with socket.socket() as listening:
        # Ignore closed connections of an earlier server, which the system keeps for a while.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("", port))
        except OSError as error:
            raise UserError(f"the ports of a server must be free. Received: {port}") from error
