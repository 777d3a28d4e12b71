"""Choose the signatures of an exported SavedModel, and make example requests.

docs/serving.md has a table of their inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from savedmodels.exportable import Exportable
from savedmodels.rows import DEFAULT, row_signatures
from savedmodels.seeds import seed_signatures
from savedmodels.signature import Signature


def signatures_of(
    exportable: Exportable, names: Iterable[str] | None = None
) -> dict[str, Signature]:
    """Make all signatures that the models allow, or only `serving_default` and those in `names`.

    Raises:
        ValueError: if the models have no signature of a given name.
    """
    # Use one traced sampler, so that networks are stored once and not per signature.
    traced = replace(exportable, sampler=exportable.sampler.traced())
    found = row_signatures(traced) | seed_signatures(traced)
    wanted = found.keys() if names is None else {DEFAULT, *names}
    if unknown := sorted(wanted - found.keys()):
        raise ValueError(
            f"`names` must be signatures of the model: {', '.join(found)}. "
            f"Received: {', '.join(unknown)}"
        )
    return {name: signature for name, signature in found.items() if name in wanted}


def requests_of(signatures: Mapping[str, Signature]) -> dict[str, dict[str, NDArray[Any]]]:
    """Make one valid request for each signature, with every input."""
    return {
        name: {each.name: each.example for each in signature.inputs}
        for name, signature in signatures.items()
    }
