"""Run predictions of REST and gRPC requests: checks, batching, deadlines and the run."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence

from savedmodels.server.batching import Array, BatchingParameters, BatchQueue, Tensors
from savedmodels.server.codes import Code, Refused
from savedmodels.server.servable import Servable
from savedmodels.server.signature import DEFAULT_SIGNATURE, SignatureInfo, inputs_of, outputs_of
from savedmodels.server.time_left import timed_out


class Predictor:
    """Loaded version that answers requests, each by a run of its own if there is no batching."""

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
        """Compute outputs of a signature, by name.

        Args:
            signature_name: Name of a signature; empty for the default one.
            inputs: Arrays by name; inputs with a default may be left out.
            output_filter: Names of the outputs to compute; empty for all.
            deadline: Time by `time.monotonic` after which the client no longer waits, in seconds.
            most_samples: Largest number of samples of the request.
        """
        signature = self.signature(signature_name, Code.FAILED_PRECONDITION)
        inputs = inputs_of(signature, inputs, most_samples)
        outputs = outputs_of(signature, output_filter)
        # A run that nobody waits for would only delay others.
        if time.monotonic() >= deadline:
            raise timed_out()
        # Only requests for every output are batched, as in TensorFlow Serving.
        if self._queue is None or outputs != signature.outputs.keys():
            return self.servable.run(signature, inputs, outputs)
        return self._queue.answer(_key(signature, inputs), inputs, deadline)

    def signature(self, name: str, code: Code) -> SignatureInfo:
        """Find a signature by name; an empty name means the default one, an unknown one `code`."""
        # REST and gRPC answer differently, as in TensorFlow Serving.
        name = name or DEFAULT_SIGNATURE
        found = self.servable.signatures.get(name)
        if found is None and code is Code.FAILED_PRECONDITION:
            raise Refused(code, f'Serving signature key "{name}" not found.')
        if found is None:
            raise Refused(code, f'Serving signature name: "{name}" not found in signature def')
        return found

    def close(self) -> None:
        """Free the version; no request may be running."""
        if self._queue is not None:
            self._queue.close()  # First, as its threads run the servable.
        self.servable.close()

    def _run_batch(self, key: Hashable, inputs: Tensors) -> dict[str, Array]:
        assert isinstance(key, tuple)
        name, *_ = key
        signature = self.servable.signatures[name]
        return self.servable.run(signature, inputs, signature.outputs)


def _key(signature: SignatureInfo, inputs: Mapping[str, Array]) -> Hashable:
    # TensorFlow Serving would join requests of other sample shapes, and let them fail together.
    kinds = [(name, array.dtype.str, array.shape[1:]) for name, array in sorted(inputs.items())]
    return signature.name, *kinds
