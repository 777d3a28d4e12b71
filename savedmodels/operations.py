"""List the operations of a SavedModel, and refuse those that no server should run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

# `tf.raw_ops`, which is public, lacks about a quarter of what is registered.
from tensorflow.python.framework import op_def_registry

INIT_OP = "__saved_model_init_op"
PYTHON = frozenset({"EagerPyFunc", "PyFunc", "PyFuncStateless"})
"""Operations that call Python functions, which exist in the exporting process only."""
OUTSIDE = frozenset(
    {
        "Abort",  # ends the process
        "CacheDataset",  # files of its cache
        *("Copy", "CopyHost"),  # the debugger's, to files and addresses
        *("DebugIdentity", "DebugNanCount", "DebugNumericSummary", "DebugNumericSummaryV2"),
        *("DecodeProtoV2", "EncodeProto"),  # a file of descriptors
        "GenerateVocabRemapping",  # files of words
        "ImmutableConst",  # a file that is mapped into memory
        *("InitializeTableFromTextFile", "MatchingFiles", "ReadFile"),
        *("RegisterDataset", "RegisterDatasetV2"),  # an address
        *("SnapshotChunkDataset", "SnapshotDataset", "SnapshotDatasetReader"),  # files
        *("SnapshotDatasetV2", "SnapshotNestedDatasetReader"),
    }
)
"""Operations that reach files, networks or the process, though marked as stateless."""

# All other operations with a state are refused. They reach files or networks (readers, writers,
# data sets, summaries, sends), draw at random, which makes answers unrepeatable, or count, which
# lets one request change the answer to the next.
_ASKED = frozenset(
    {
        *("Case", "If", "StatefulPartitionedCall", "While"),  # have the state of what they call
        *("HashTableV2", "LookupTableFindV2", "LookupTableSizeV2"),
        *("ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape"),
        *("VarHandleOp", "VarIsInitializedOp", "VariableV2"),
        "Assert",  # the checks of inputs
        "StatelessRandomGetAlg",  # asks for the device's algorithm only
    }
)
_LOADED = _ASKED | {"AssignVariableOp", "InitializeTableV2", "LookupTableImportV2", "RestoreV2"}
# Allowed where no server runs them: `tf.train.Saver` puts some into every model.
_NEVER_RUN = _LOADED | {"DisableCopyOnRead", "MergeV2Checkpoints", "SaveV2"}


class Operation(NamedTuple):
    """Operation and the name of the function that holds it, empty for the graph itself."""

    name: str
    function: str


class Refusal(NamedTuple):
    """Operation that is refused, and the reason."""

    operation: Operation
    reason: str

    def __str__(self) -> str:
        name, function = self.operation
        place = f"function {function}" if function else "the graph"
        return f"operation {name} in {place} {self.reason}"


def operations_of(graph: Any) -> Counter[str]:
    """Count the operations of a `MetaGraphDef` and of its functions, without calls of functions."""
    return Counter(operation.name for operation in _operations(graph, _functions(graph)))


def refusals_of(graph: Any) -> list[Refusal]:
    """List the refused operations of a `MetaGraphDef`, each once, in alphabetical order."""
    functions = _functions(graph)
    asked = [
        output.name
        for name, signature in graph.signature_def.items()
        if name != INIT_OP
        for output in signature.outputs.values()
    ]
    refused: dict[str, Refusal] = {}
    # Everywhere, even in functions that nothing calls; then in what loading runs, and requests.
    for operations, allowed in (
        (_operations(graph, functions), _NEVER_RUN),
        (_reached(graph, functions, _loading(graph)), _LOADED),
        (_reached(graph, functions, asked), _ASKED),
    ):
        for operation in operations:
            reason = _reason(operation.name, allowed)
            if reason:
                refused.setdefault(operation.name, Refusal(operation, reason))
    return [refused[name] for name in sorted(refused)]


def _reason(name: str, allowed: frozenset[str]) -> str:
    definition = op_def_registry.get(name)
    if name in PYTHON:
        return "calls Python, which no server has"
    if definition is None:
        return "is unknown to TensorFlow"
    if name in OUTSIDE:
        return "reaches out of the model"
    if definition.is_stateful and name not in allowed:
        return "has a state or a side effect"
    return ""


def _functions(graph: Any) -> dict[str, Any]:
    return {function.signature.name: function for function in graph.graph_def.library.function}


def _operations(graph: Any, functions: dict[str, Any]) -> Iterator[Operation]:
    for node in graph.graph_def.node:
        if node.op not in functions:
            yield Operation(node.op, "")
    yield from _within(functions, functions)


def _within(names: Iterable[str], functions: dict[str, Any]) -> Iterator[Operation]:
    for name in names:
        for node in functions[name].node_def:
            if node.op not in functions:
                yield Operation(node.op, name)


def _loading(graph: Any) -> list[str]:
    # Models of TensorFlow 2 have a signature for it, those of TensorFlow 1 a collection.
    init = graph.signature_def[INIT_OP].outputs if INIT_OP in graph.signature_def else {}
    legacy = (
        name
        for key in ("saved_model_main_op", "legacy_init_op")
        if key in graph.collection_def
        for name in graph.collection_def[key].node_list.value
    )
    restore = graph.saver_def.restore_op_name
    return [*(output.name for output in init.values()), *legacy, *([restore] if restore else [])]


def _reached(graph: Any, functions: dict[str, Any], tensors: Iterable[str]) -> Iterator[Operation]:
    nodes = {node.name: node for node in graph.graph_def.node}
    calls: set[str] = set()
    for name in _closure((tensor.split(":")[0] for tensor in tensors), nodes, _sources):
        node = nodes[name]
        calls |= set(_called(node, functions))
        if node.op not in functions:
            yield Operation(node.op, "")
    yield from _within(_closure(calls, functions, lambda f: _calls_in(f, functions)), functions)


def _closure(names: Iterable[str], known: dict[str, Any], following: Any) -> list[str]:
    # By a list of our own, as a deep graph would exceed Python's recursion.
    found: dict[str, None] = {}
    waiting = [name for name in names if name in known]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            waiting += (each for each in following(known[name]) if each in known)
    return list(found)


def _sources(node: Any) -> Iterator[str]:
    return (tensor.removeprefix("^").split(":")[0] for tensor in node.input)


def _calls_in(function: Any, functions: dict[str, Any]) -> Iterator[str]:
    for node in function.node_def:
        yield from _called(node, functions)


def _called(node: Any, functions: dict[str, Any]) -> Iterator[str]:
    # Control flow names the functions that it calls in attributes.
    if node.op in functions:
        yield node.op
    for value in node.attr.values():
        for function in (value.func, *value.list.func):
            if function.name in functions:
                yield function.name
