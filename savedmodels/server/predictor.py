"""Predictions of REST and gRPC requests: check inputs and deadline, batch if asked, and run."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence

from savedmodels.server.batching import Array, BatchingParameters, BatchQueue, Tensors
from savedmodels.server.codes import Code, Refused
from savedmodels.server.servable import Servable
from savedmodels.server.signature import (
    DEFAULT_SIGNATURE,
    SignatureInfo,
    choose_outputs,
    complete_inputs,
)
from savedmodels.server.time_left import timed_out


class Predictor:
    """Loaded version that answers requests: in batches, or each by its own run without batching."""

    def __init__(self, servable: Servable, batching: BatchingParameters | None = None) -> None:
        self.servable = servable
        self._queue = BatchQueue(self._run_batch, batching) if batching else None

    def predict(
        self,
        signature_name: str,
        inputs: Mapping[str, Array],
        output_filter: Sequence[str] = (),
        deadline: float = float("inf"),
        max_samples: float = float("inf"),
    ) -> dict[str, Array]:
        """Compute outputs of a signature, by name.

        Args:
            signature_name: Name of a signature; empty for the default one.
            inputs: Arrays by name; inputs with a default may be left out.
            output_filter: Names of the outputs to compute; empty for all.
            deadline: Seconds of `time.monotonic` after which the client no longer waits.
            max_samples: Maximum number of samples in the request.
        """
        signature = self.signature(signature_name, Code.FAILED_PRECONDITION)
        inputs = complete_inputs(signature, inputs, max_samples)
        outputs = choose_outputs(signature, output_filter)
        # Refuse a late request: a run that nobody waits for would only delay others.
        if time.monotonic() >= deadline:
            raise timed_out()
        # Batch only requests for every output, as TensorFlow Serving does.
        if self._queue is None or outputs != signature.outputs.keys():
            return self.servable.run(signature, inputs, outputs)
        return self._queue.answer(_key(signature, inputs), inputs, deadline)

    def signature(self, name: str, code: Code) -> SignatureInfo:
        """Find a signature by name (empty: the default one), or raise `Refused` with `code`."""
        # The message depends on `code`: REST and gRPC differ, as in TensorFlow Serving.
        name = name or DEFAULT_SIGNATURE
        found = self.servable.signatures.get(name)
        if found is None and code is Code.FAILED_PRECONDITION:
            raise Refused(code, f'Serving signature key "{name}" not found.')
        if found is None:
            raise Refused(code, f'Serving signature name: "{name}" not found in signature def')
        return found

    def close(self) -> None:
        """Free the memory of the version; call only when no request is running."""
        if self._queue is not None:
            self._queue.close()  # Close the queue first, as its threads run the servable.
        self.servable.close()

    def _run_batch(self, key: Hashable, inputs: Tensors) -> dict[str, Array]:
        assert isinstance(key, tuple)
        name, *_ = key
        signature = self.servable.signatures[name]
        return self.servable.run(signature, inputs, signature.outputs)


def _key(signature: SignatureInfo, inputs: Mapping[str, Array]) -> Hashable:
    # Include types and sample shapes: TensorFlow Serving batches requests that differ in these,
    # which then fail together.
    kinds = [(name, array.dtype.str, array.shape[1:]) for name, array in sorted(inputs.items())]
    return signature.name, *kinds
