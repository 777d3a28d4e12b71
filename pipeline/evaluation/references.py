"""Features of the real images that generated ones are held to, computed once and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.data.dataset import images_of
from pipeline.data.records import RecordSet, Split, checksum
from pipeline.evaluation.extraction import extract
from pipeline.evaluation.features.network import FeatureNetwork, Features, Images
from savedmodels.atomic import new_folder, remove_folder, write_file

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
VECTORS, LABELS, PROBABILITIES = "vectors.npy", "labels.npy", "probabilities.npy"
READ_AT_A_TIME = 256
REFERENCES = "references"
"""Folder beside prepared sets in which references are kept by default."""


@dataclass(frozen=True)
class References:
    """What a network says of real images.

    Args:
        features: Of n images, in the order of the records.
        labels: `(n,)`, the class of each, or -1 of unlabelled ones.
        protocol: Which images of which set at which resolution, and the identity of the network.
    """

    features: Features
    labels: npt.NDArray[np.int64]
    protocol: dict[str, str | int]


class _Manifest(BaseModel):
    """What `manifest.json` says about kept references."""

    model_config = ConfigDict(frozen=True)

    protocol: dict[str, str | int]
    sha256: dict[str, str]


def references_for(
    records: RecordSet,
    resolution: int,
    network: FeatureNetwork,
    folder: Path,
    *,
    split: Split = "train",
    report: Callable[[int, int], None] | None = None,
) -> References:
    """The features of every image of a split, as it is: not mirrored, and no mirrored copies.

    They are kept in `folder / <key>`, where the key is a hash of the data, the network and all else
    that decides them. What is kept and is not as it was written is computed anew.

    Args:
        records: The prepared set.
        resolution: One of its own, in pixels.
        network: What gives the features.
        folder: Where references are kept, made if need be.
        split: `train`, or `val` for what a run never sees.
        report: Called with the images done and their total while features are computed.

    Raises:
        UserError: if the network does not take such images.
        ValueError: if the set lacks the resolution or the split.
        OSError: if the folder cannot be written.
    """
    protocol: dict[str, str | int] = {
        "format_version": FORMAT_VERSION,
        "data_hash": records.data_hash,
        "split": split,
        "resolution": resolution,
        "mirrored": "none",
        "features": network.identity,
    }
    key = hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest()[:32]
    kept = folder / key
    if (found := _read(kept, protocol)) is not None:
        return found
    references = _computed(records, resolution, network, split, protocol, report)
    with suppress(FileNotFoundError):  # It is damaged, if it is there.
        remove_folder(kept)
    # Another process may have been quicker, with the same content.
    with suppress(FileExistsError):
        _write(kept, references)
    return references


def _computed(
    records: RecordSet,
    resolution: int,
    network: FeatureNetwork,
    split: Split,
    protocol: dict[str, str | int],
    report: Callable[[int, int], None] | None,
) -> References:
    samples = images_of(records, resolution, split, copies=False).batch(READ_AT_A_TIME)
    labels: list[npt.NDArray[np.int64]] = []

    def images() -> Iterator[Images]:
        for batch in samples.as_numpy_iterator():
            labels.append(batch["label"])
            yield batch["image"]

    features = extract(network, images(), total=records.originals(split), report=report)
    return References(features, np.concatenate(labels), protocol)


def _arrays(references: References) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {
        VECTORS: references.features.vectors,
        LABELS: references.labels,
    }
    if references.features.probabilities is not None:
        arrays[PROBABILITIES] = references.features.probabilities
    return arrays


def _write(folder: Path, references: References) -> None:
    with new_folder(folder) as temporary:
        for name, array in _arrays(references).items():
            np.save(temporary / name, array, allow_pickle=False)
        sha256 = {name: checksum(temporary / name) for name in _arrays(references)}
        manifest = _Manifest(protocol=references.protocol, sha256=sha256)
        write_file(temporary / MANIFEST, manifest.model_dump_json(indent=2) + "\n")


def _read(folder: Path, protocol: dict[str, str | int]) -> References | None:
    """What is kept there, or None if nothing is, or something else than was written."""
    try:
        manifest = _Manifest.model_validate_json((folder / MANIFEST).read_bytes())
        if manifest.protocol != protocol or set(manifest.sha256) - {PROBABILITIES} != {
            VECTORS,
            LABELS,
        }:
            return None
        arrays = {}
        for name, known in manifest.sha256.items():
            if checksum(folder / name) != known:
                return None
            arrays[name] = np.load(folder / name, allow_pickle=False)
    except (OSError, ValueError, ValidationError):
        return None
    features = Features(arrays[VECTORS], arrays.get(PROBABILITIES))
    return References(features, arrays[LABELS], protocol)
