"""In the step as it is executed, each read of a variable is ordered with each write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from pipeline.config import Config
from tests.pipeline.training.reuse import Reuse

WRITES = {"AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"}


def unordered(nodes: list[Any]) -> list[tuple[str, str]]:
    """Pairs of a read and a write, or of two writes, of a variable that may come in any order."""
    numbers = {node.name: number for number, node in enumerate(nodes)}
    inputs = [
        [numbers[name] for i in node.input if (name := i.lstrip("^").split(":")[0]) in numbers]
        for node in nodes
    ]
    before: dict[int, int] = {}  # of each node, the set of those before it, as bits
    todo = list(range(len(nodes)))
    while todo:
        number = todo.pop()
        missing = [i for i in inputs[number] if i not in before]
        if missing:
            todo += [number, *missing]
        else:
            before[number] = 0
            for i in inputs[number]:
                before[number] |= before[i] | 1 << i
    accesses: dict[str, list[int]] = {}
    for number, node in enumerate(nodes):
        if node.op in WRITES | {"ReadVariableOp"}:
            accesses.setdefault(node.input[0], []).append(number)
    return [
        (nodes[one].name, nodes[other].name)
        for numbers_of_one in accesses.values()
        for index, one in enumerate(numbers_of_one)
        for other in numbers_of_one[:index]
        if WRITES & {nodes[one].op, nodes[other].op}
        and not (before[one] >> other & 1 or before[other] >> one & 1)
    ]


def optimised(function: Callable[[], Any]) -> list[list[Any]]:
    """The nodes of each graph that is executed in a call."""
    context.context().enable_graph_collection()
    try:
        function()
        metadata = context.context().export_run_metadata()
    finally:
        context.context().disable_graph_collection()
    return [list(graphs.post_optimization_graph.node) for graphs in metadata.function_graphs]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "objective", "compiled"),
    [
        (1, {}, 1),
        # Everything at once: updates of their own for the critic, its penalties and path lengths.
        (
            1,
            {
                **{"loss": "relativistic_logistic", "penalty": "none", "r1": 10.0, "r2": 1.0},
                **{"penalty_every": 2, "path_length": 2.0, "path_length_every": 2},
                **{"orthogonal_generator": 1e-4, "orthogonal_discriminator": 1e-4},
                **{"critic_steps": 2, "generator_steps": 2, "consistency": 10.0},
            },
            4,
        ),
        (0, {"penalty": "none", "weight_clip": 0.1}, 1),
    ],
)
def test_no_read_and_write_of_a_variable_come_in_any_order(
    tiny: Callable[..., Config], phase: int, objective: dict[str, Any], compiled: int
) -> None:
    config = tiny(run={"intra_op_threads": 1}, objective=objective)
    size = config.schedule.build().phases[phase].resolution
    # Not one that was traced before: the graph is seen as it is optimised.
    _, step = Reuse().models_and_step(config, phase)
    batch = {"images": tf.zeros((8, size, size, 1), tf.uint8), "labels": tf.zeros((8, 0))}
    batches = [batch] * config.objective.critic_steps
    training = [
        nodes
        for nodes in optimised(lambda: step(batches, 0, 0.5))
        if sum(node.op in WRITES for node in nodes) > 10
    ]
    assert len(training) >= compiled
    for nodes in training:
        assert unordered(nodes) == []


def test_a_pair_without_an_order_is_found() -> None:
    graph = tf.Graph()
    with graph.as_default():
        handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=())
        read = tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32)
        tf.raw_ops.AssignAddVariableOp(resource=handle, value=tf.constant(1.0))
    nodes = list(graph.as_graph_def().node)
    assert unordered(nodes) == [("AssignAddVariableOp", read.op.name)]
