"""List the operations in the graph of a SavedModel, and refuse those unsafe on a server.

A SavedModel is a program: it can read files or run code as soon as it is loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

# The public `tf.raw_ops` lacks about a quarter of the registered operations.
from tensorflow.python.framework import op_def_registry

INIT_OP = "__saved_model_init_op"  # Signature that TensorFlow 2 runs when it loads a model.
PYTHON = frozenset({"EagerPyFunc", "PyFunc", "PyFuncStateless"})
"""Operations that call Python functions, which exist in the exporting process only."""
OUTSIDE = frozenset(
    {
        "Abort",  # ends the process
        "CacheDataset",  # writes its cache to files
        *("Copy", "CopyHost"),  # for the debugger; send tensors to files and addresses
        *("DebugIdentity", "DebugNanCount", "DebugNumericSummary", "DebugNumericSummaryV2"),
        *("DecodeProtoV2", "EncodeProto"),  # read a file of descriptors
        "GenerateVocabRemapping",  # reads files of words
        "ImmutableConst",  # maps a file into memory
        *("InitializeTableFromTextFile", "MatchingFiles", "ReadFile"),
        *("RegisterDataset", "RegisterDatasetV2"),  # send to an address
        *(
            "SnapshotChunkDataset",
            "SnapshotDataset",
            "SnapshotDatasetReader",
        ),  # use files
        *("SnapshotDatasetV2", "SnapshotNestedDatasetReader"),
    }
)
"""Stateless operations that reach files, networks or the process all the same."""

# Operations with a state that requests may run. All others are refused: they reach files or
# networks (readers, writers, data sets, summaries, sends), draw random numbers, so that answers
# cannot be repeated, or count, so that one request changes the answer to the next.
_BY_REQUESTS = frozenset(
    {
        *("Case", "If", "StatefulPartitionedCall", "While"),  # are stateful if their functions are
        *("HashTableV2", "LookupTableFindV2", "LookupTableSizeV2"),
        *("ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape"),
        *("VarHandleOp", "VarIsInitializedOp", "VariableV2"),
        "Assert",  # checks inputs
        "StatelessRandomGetAlg",  # only looks up the device's algorithm
    }
)
# Those that loading may run too.
_AT_LOADING = _BY_REQUESTS | {
    "AssignVariableOp",
    "InitializeTableV2",
    "LookupTableImportV2",
    "RestoreV2",
}
# Those that may be in a graph where nothing runs them: `tf.train.Saver` adds some to every model.
_ANYWHERE = _AT_LOADING | {"DisableCopyOnRead", "MergeV2Checkpoints", "SaveV2"}


class Operation(NamedTuple):
    """Name of an operation, and of the function it is in, empty for the graph itself."""

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
    """Count the operations of a `MetaGraphDef` and its functions by name, except function calls."""
    return Counter(operation.name for operation in _operations(graph, _functions(graph)))


def refusals_of(graph: Any) -> list[Refusal]:
    """List the refused operations of a `MetaGraphDef`, each name once, in alphabetical order."""
    functions = _functions(graph)
    requested = [
        output.name
        for name, signature in graph.signature_def.items()
        if name != INIT_OP
        for output in signature.outputs.values()
    ]
    refused: dict[str, Refusal] = {}
    # Check all operations, even in functions that nothing calls, then those that loading runs,
    # then those that requests run.
    for operations, allowed in (
        (_operations(graph, functions), _ANYWHERE),
        (_reachable(graph, functions, _loading_outputs(graph)), _AT_LOADING),
        (_reachable(graph, functions, requested), _BY_REQUESTS),
    ):
        for operation in operations:
            reason = _refusal_reason(operation.name, allowed)
            if reason:
                refused.setdefault(operation.name, Refusal(operation, reason))
    return [refused[name] for name in sorted(refused)]


def _refusal_reason(name: str, allowed: frozenset[str]) -> str:
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
    yield from _operations_in(functions, functions)


def _operations_in(names: Iterable[str], functions: dict[str, Any]) -> Iterator[Operation]:
    for name in names:
        for node in functions[name].node_def:
            if node.op not in functions:
                yield Operation(node.op, name)


def _loading_outputs(graph: Any) -> list[str]:
    """Names of the operations and tensors that TensorFlow computes when it loads a model."""
    # Models of TensorFlow 2 name them in a signature, models of TensorFlow 1 in a collection.
    init = graph.signature_def[INIT_OP].outputs if INIT_OP in graph.signature_def else {}
    legacy = (
        name
        for key in ("saved_model_main_op", "legacy_init_op")
        if key in graph.collection_def
        for name in graph.collection_def[key].node_list.value
    )
    restore = graph.saver_def.restore_op_name
    return [*(output.name for output in init.values()), *legacy, *([restore] if restore else [])]


def _reachable(
    graph: Any, functions: dict[str, Any], tensors: Iterable[str]
) -> Iterator[Operation]:
    """Operations that must run to compute tensors."""
    nodes = {node.name: node for node in graph.graph_def.node}
    calls: set[str] = set()
    for name in _closure((tensor.split(":")[0] for tensor in tensors), nodes, _sources):
        node = nodes[name]
        calls |= set(_calls_of(node, functions))
        if node.op not in functions:
            yield Operation(node.op, "")
    called = _closure(calls, functions, lambda function: _calls_in(function, functions))
    yield from _operations_in(called, functions)


def _closure(names: Iterable[str], known: dict[str, Any], successors: Any) -> list[str]:
    """Names that can be reached from `names`; each is looked up in `known`."""
    # Use a stack instead of recursion: a deep graph would exceed Python's limit.
    found: dict[str, None] = {}
    waiting = [name for name in names if name in known]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            waiting += (each for each in successors(known[name]) if each in known)
    return list(found)


def _sources(node: Any) -> Iterator[str]:
    return (tensor.removeprefix("^").split(":")[0] for tensor in node.input)


def _calls_in(function: Any, functions: dict[str, Any]) -> Iterator[str]:
    for node in function.node_def:
        yield from _calls_of(node, functions)


def _calls_of(node: Any, functions: dict[str, Any]) -> Iterator[str]:
    # Look into attributes too: control flow names its functions there.
    if node.op in functions:
        yield node.op
    for value in node.attr.values():
        for function in (value.func, *value.list.func):
            if function.name in functions:
                yield function.name
