"""The operations of a SavedModel: counted, and refused where no server should run them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from savedmodels import operations
from savedmodels.operations import operations_of, refusals_of

STATE = "has a state or a side effect"
PYTHON = "calls Python, which no server has"


def graph_of(folder: Path) -> Any:
    content = (folder / "saved_model.pb").read_bytes()
    return saved_model_pb2.SavedModel.FromString(content).meta_graphs[0]


def refused(folder: Path) -> dict[str, str]:
    return {each.operation.name: each.reason for each in refusals_of(graph_of(folder))}


def test_a_plain_model_has_nothing_to_refuse(scaling: Path) -> None:
    graph = graph_of(scaling)
    assert refusals_of(graph) == []
    counts = operations_of(graph)
    assert counts["EncodePng"] == 1
    assert counts["RestoreV2"] == counts["SaveV2"] == 1
    names = {function.signature.name for function in graph.graph_def.library.function}
    assert not names & counts.keys()


def test_control_flow_tables_and_assertions_are_no_state(tmp_path: Path) -> None:
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant([0, 1]), tf.constant([2.0, 3.0])), 0.0
    )

    def function(x: Any) -> Any:
        tf.debugging.assert_less(x, 10.0)
        value = tf.while_loop(lambda y: y < 3.0, lambda y: [y + 1.0], [x])[0]
        value = tf.cond(value > 1.0, lambda: value, lambda: -value)
        return {"y": value + module.table.lookup(tf.cast(x, tf.int32))}

    module.function = tf.function(function, input_signature=[tf.TensorSpec((), tf.float32, "x")])
    tf.saved_model.save(module, str(tmp_path), signatures=module.function)
    assert refused(tmp_path) == {}
    assert operations_of(graph_of(tmp_path))["LookupTableFindV2"] == 1


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: tf.ensure_shape(tf.py_function(lambda y: y, [x], tf.float32), ()),
         {"EagerPyFunc": PYTHON}),
        (lambda x: tf.ensure_shape(tf.numpy_function(np.sin, [x], tf.float32), ()),
         {"PyFunc": PYTHON}),
        (lambda x: tf.ensure_shape(
            tf.numpy_function(np.sin, [x], tf.float32, stateful=False), ()),
         {"PyFuncStateless": PYTHON}),
        (lambda x: x + tf.random.normal(()), {"RandomStandardNormal": STATE}),
        (lambda x: x + tf.cast(tf.strings.length(tf.io.read_file("a")), tf.float32),
         {"ReadFile": "reaches out of the model"}),
        (lambda x: tf.cond(x > 0, lambda: x, lambda: x + tf.cast(
            tf.shape(tf.io.matching_files("*"))[0], tf.float32)),
         {"MatchingFiles": "reaches out of the model"}),
        (lambda x: tf.data.TextLineDataset("a").map(lambda _: x).reduce(x, lambda a, b: a + b),
         {"TextLineDataset": STATE}),
    ],
    ids=["py_function", "numpy_function", "stateless", "random", "file", "branch", "dataset"],
)  # fmt: skip
def test_what_no_server_should_run(
    saved: Callable[..., Path], function: Callable[[Any], Any], expected: dict[str, str]
) -> None:
    found = refused(saved(function))
    assert expected.items() <= found.items()


def test_writing_is_refused_though_nothing_is_answered_by_it(saved: Callable[..., Path]) -> None:
    def function(x: Any) -> Any:
        tf.io.write_file("a", "b")
        tf.print(x)
        return x

    assert refused(saved(function)) == {"WriteFile": STATE, "PrintV2": STATE}


def test_a_request_must_not_change_the_model(tmp_path: Path) -> None:
    module = tf.Module()
    module.count = tf.Variable(0.0)
    module.function = tf.function(
        lambda x: {"y": x + module.count.assign_add(1.0)},
        input_signature=[tf.TensorSpec((), tf.float32, "x")],
    )
    tf.saved_model.save(module, str(tmp_path), signatures=module.function)
    assert refused(tmp_path) == {"AssignAddVariableOp": STATE}
    # What loading does is refused to a request.
    module.function = tf.function(
        lambda x: {"y": x + module.count.assign(x)},
        input_signature=[tf.TensorSpec((), tf.float32, "x")],
    )
    tf.saved_model.save(module, str(tmp_path), signatures=module.function)
    assert refused(tmp_path) == {"AssignVariableOp": STATE}


def test_loading_must_not_write(scaling: Path) -> None:
    graph = graph_of(scaling)
    [saving] = [
        node.name for node in graph.graph_def.node if "traced_save" in node.attr["f"].func.name
    ]
    graph.saver_def.restore_op_name = saving
    assert {each.operation.name for each in refusals_of(graph)} >= {"SaveV2"}


@pytest.mark.parametrize("init", [operations.INIT_OP, "saved_model_main_op", "legacy_init_op"])
def test_initialisation_must_not_draw(scaling: Path, init: str) -> None:
    graph = graph_of(scaling)
    graph.graph_def.node.add(name="draw", op="RandomUniform")
    graph.graph_def.node.add(name="init", op="NoOp", input=["^draw"])
    if init == operations.INIT_OP:
        graph.signature_def[init].outputs[init].name = "init"
    else:
        graph.collection_def[init].node_list.value.append("init")
    [refusal] = refusals_of(graph)
    assert str(refusal) == f"operation RandomUniform in the graph {STATE}"


@pytest.mark.parametrize("where", ["graph", "function", "unused function"])
@pytest.mark.parametrize("op", ["MyOperation", "EagerPyFunc", "ReadFile"])
def test_functions_are_searched_too(scaling: Path, where: str, op: str) -> None:
    graph = graph_of(scaling)
    if where == "graph":
        graph.graph_def.node.add(name="new", op=op)
    elif where == "function":
        library = graph.graph_def.library.function
        [inner] = [each for each in library if any(n.op == "EncodePng" for n in each.node_def)]
        inner.node_def.add(name="new", op=op)
    else:
        unused = graph.graph_def.library.function.add()
        unused.signature.name = "unused"
        unused.node_def.add(name="new", op=op)
    [refusal] = refusals_of(graph)
    assert refusal.operation.name == op
    assert bool(refusal.operation.function) == (where != "graph")
    assert where.split()[0] in str(refusal)


def test_an_operation_that_calls_a_function_by_its_name(scaling: Path) -> None:
    graph = graph_of(scaling)
    inner = graph.graph_def.library.function.add()
    inner.signature.name = "inner"
    inner.node_def.add(name="new", op="AssignVariableOp")
    assert refusals_of(graph) == []  # Loading may.
    [asked] = [each for each in graph.graph_def.library.function if any(
        node.op == "EncodePng" for node in each.node_def)]  # fmt: skip
    asked.node_def.add(name="call", op="inner")
    assert [each.operation.function for each in refusals_of(graph)] == ["inner"]


def test_the_lists_name_operations_that_tensorflow_has() -> None:
    for name in operations.PYTHON | operations.OUTSIDE | operations._ANYWHERE:
        assert op_def_registry.get(name) is not None, name


def test_the_list_of_what_reaches_out_has_only_what_tensorflow_calls_stateless() -> None:
    # What has a state is refused anyway, and one list of it would be two truths.
    assert [n for n in operations.OUTSIDE if op_def_registry.get(n).is_stateful] == []
