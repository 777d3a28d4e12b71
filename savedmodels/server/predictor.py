"""A prediction, whichever way its request came: checks, batches, deadlines, and the run itself."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from savedmodels.server.batching import BatchingParameters, BatchQueue, Tensors
from savedmodels.server.codes import Code, Refused
from savedmodels.server.servable import Servable
from savedmodels.server.signature import DEFAULT_SIGNATURE, Signature, inputs_of, outputs_of
from savedmodels.server.time_left import timed_out

Array = np.ndarray[Any, Any]


class Predictor:
    """A loaded version that answers requests.

    Args:
        servable: The version.
        batching: Parameters by which requests share runs; `None` for a run a request.
    """

    def __init__(self, servable: Servable, batching: BatchingParameters | None = None) -> None:
        self.servable = servable
        self._queue = BatchQueue(self._run_batch, batching) if batching else None

    def predict(
        self,
        signature_name: str,
        inputs: Mapping[str, Array],
        output_filter: Sequence[str] = (),
        deadline: float = float("inf"),
        most_samples: float = float("inf"),
    ) -> dict[str, Array]:
        """Outputs by name.

        Args:
            signature_name: Name of a signature; empty for the default one.
            inputs: Arrays by the names of the signature's inputs; those with a default may be
                left out.
            output_filter: The outputs that are asked for; empty for all.
            deadline: When nobody waits any longer, by the monotonic clock in seconds.
            most_samples: Largest number of samples of the request.

        Raises:
            Refused: with TensorFlow Serving's code.
        """
        signature = self.signature(signature_name, Code.FAILED_PRECONDITION)
        inputs = inputs_of(signature, inputs, most_samples)
        outputs = outputs_of(signature, output_filter)
        if time.monotonic() >= deadline:
            raise timed_out()
        # TensorFlow Serving too batches only requests for every output of a signature.
        if self._queue is None or outputs != signature.outputs.keys():
            return self.servable.run(signature, inputs, outputs)
        return self._queue.answer(_key(signature, inputs), inputs, deadline)

    def signature(self, name: str, code: Code) -> Signature:
        """A signature by name, the default one by an empty name.

        Raises:
            Refused: with the code given, since REST and gRPC answer differently.
        """
        name = name or DEFAULT_SIGNATURE
        found = self.servable.signatures.get(name)
        if found is None and code is Code.FAILED_PRECONDITION:
            raise Refused(code, f'Serving signature key "{name}" not found.')
        if found is None:
            raise Refused(code, f'Serving signature name: "{name}" not found in signature def')
        return found

    def close(self) -> None:
        """Free the version; no request may be under way."""
        if self._queue is not None:
            self._queue.close()
        self.servable.close()

    def _run_batch(self, key: Hashable, inputs: Tensors) -> dict[str, Array]:
        assert isinstance(key, tuple)
        name, *_ = key
        signature = self.servable.signatures[name]
        return self.servable.run(signature, inputs, signature.outputs)


def _key(signature: Signature, inputs: Mapping[str, Array]) -> Hashable:
    """Return what requests must have in common to share a run."""
    kinds = [(name, array.dtype.str, array.shape[1:]) for name, array in sorted(inputs.items())]
    return signature.name, *kinds
