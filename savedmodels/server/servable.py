"""SavedModel in memory: its signatures, and the TensorFlow session that runs them."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import config_pb2, saved_model_pb2

from savedmodels.golden import array_of
from savedmodels.literal_path import literal
from savedmodels.server.codes import Code, Refused
from savedmodels.server.signature import Array, SignatureInfo, TensorInfo
from savedmodels.server.tensor_protos import arrays_of_protos

_TAGS = {"serve"}


class Servable:
    """SavedModel loaded for serving.

    Args:
        folder: Folder of the SavedModel.
        seconds: Time limit of one run, in seconds.
        intra_op_threads: Threads inside an operation; 0 lets TensorFlow choose.
        inter_op_threads: Operations that run at once; 0 lets TensorFlow choose.

    Raises:
        Refused: if the SavedModel cannot be loaded.
    """

    def __init__(
        self, folder: Path, seconds: float, intra_op_threads: int = 0, inter_op_threads: int = 0
    ) -> None:
        # Let TensorFlow enforce the time limit: Python cannot stop a thread inside a run.
        self._run_options = config_pb2.RunOptions(timeout_in_ms=round(seconds * 1000))
        meta_graph = _meta_graph(folder)
        self.signature_defs: Mapping[str, Any] = dict(meta_graph.signature_def)
        self.signatures = {
            name: SignatureInfo(
                name,
                _tensor_infos(signature.inputs),
                _tensor_infos(signature.outputs),
                arrays_of_protos(signature.defaults),
            )
            for name, signature in self.signature_defs.items()
        }
        self._callables: dict[tuple[str, frozenset[str]], Any] = {}
        self._lock = threading.Lock()
        graph = tf.Graph()
        # Thread counts have an effect in a process's first session; later ones share its threads.
        config = config_pb2.ConfigProto(
            intra_op_parallelism_threads=intra_op_threads,
            inter_op_parallelism_threads=inter_op_threads,
        )
        # Use a session, as TensorFlow Serving does: errors then have the same codes and texts.
        self._session = tf.compat.v1.Session(graph=graph, config=config)
        try:
            with graph.as_default(), literal(folder) as path:
                tf.compat.v1.saved_model.load(self._session, sorted(_TAGS), str(path))
        except Exception as error:
            self._session.close()
            raise refusal_of(error) from error

    def run(
        self, signature: SignatureInfo, inputs: Mapping[str, Array], outputs: Collection[str]
    ) -> dict[str, Array]:
        """Compute the named outputs from all inputs of a signature; thread-safe."""
        names = sorted(outputs)  # Sort: the cached callable returns outputs in this order.
        arguments = [inputs[name] for name in sorted(signature.inputs)]
        try:
            results = self._callable(signature, names)(*arguments)
        except Exception as error:
            raise refusal_of(error) from error
        return dict(zip(names, map(array_of, results), strict=True))

    def close(self) -> None:
        """Free the session; call only when no run is in progress."""
        self._callables.clear()
        self._session.close()

    def _callable(self, signature: SignatureInfo, outputs: list[str]) -> Any:
        key = signature.name, frozenset(outputs)
        with self._lock:
            if key not in self._callables:
                options = config_pb2.CallableOptions(
                    feed=[info.tensor for _, info in sorted(signature.inputs.items())],
                    fetch=[signature.outputs[name].tensor for name in outputs],
                    run_options=self._run_options,
                )
                # Not `Session.run` or the public `make_callable`: they check and convert inputs in
                # Python, which is slower and has other error messages than the graph.
                self._callables[key] = self._session._make_callable_from_options(options)
            return self._callables[key]


def refusal_of(error: Exception) -> Refused:
    """Convert any exception to an error answer: a canonical code and a message."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, tf.errors.OpError):
        return Refused(Code(error.error_code), error.message)
    if isinstance(error, MemoryError):
        return Refused(Code.RESOURCE_EXHAUSTED, "Out of memory")
    # NumPy and TensorFlow raise these for inputs of a wrong type or shape.
    if isinstance(error, (TypeError, ValueError)):
        return Refused(Code.INVALID_ARGUMENT, str(error))
    return Refused(Code.INTERNAL, f"{type(error).__name__}: {error}")


def _meta_graph(folder: Path) -> Any:
    try:
        saved_model = saved_model_pb2.SavedModel.FromString(
            (folder / "saved_model.pb").read_bytes()
        )
    except OSError:
        raise Refused(
            Code.NOT_FOUND,
            f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {folder}",
        ) from None
    except DecodeError:
        raise Refused(Code.DATA_LOSS, f"Can't parse {folder / 'saved_model.pb'}") from None
    for meta_graph in saved_model.meta_graphs:
        if set(meta_graph.meta_info_def.tags) == _TAGS:
            return meta_graph
    raise Refused(
        Code.NOT_FOUND,
        f"Could not find meta graph def matching supplied tags: {{ {' '.join(_TAGS)} }}",
    )


def _tensor_infos(tensors: Mapping[str, Any]) -> dict[str, TensorInfo]:
    return {name: _tensor_info(tensor) for name, tensor in sorted(tensors.items())}


def _tensor_info(tensor: Any) -> TensorInfo:
    shape = None
    if not tensor.tensor_shape.unknown_rank:
        shape = tuple(None if d.size < 0 else d.size for d in tensor.tensor_shape.dim)
    # Not `tf.as_dtype`, which gives `float32` where TensorFlow Serving's errors have `float`.
    dtype = types_pb2.DataType.Name(tensor.dtype).removeprefix("DT_").lower()
    return TensorInfo(tensor.name, dtype, shape)
