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

from pipeline.data.checking.moments import Moments
from pipeline.data.dataset import images_of
from pipeline.data.records import RecordSet, Split
from pipeline.evaluation.extraction import extract
from pipeline.evaluation.features.network import FeatureNetwork, Features, Images
from pipeline.evaluation.statistics.arrays import Array
from pipeline.evaluation.statistics.frechet import moments
from savedmodels.atomic import new_folder, remove_folder, write_file
from savedmodels.checksum import checksum

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
VECTORS, LABELS, PROBABILITIES = "vectors", "labels", "probabilities"
READ_AT_A_TIME = 256
REFERENCES = "references"
"""Folder beside prepared sets in which references are kept by default."""

Protocol = dict[str, str | int]
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class References:
    """Features of real images by one network.

    Args:
        features: Features of n images, in the order of the records.
        labels: `(n,)`, the class of each, or -1 of unlabelled ones.
        protocol: Which images of which set at which resolution, and the identity of the network.
        kept: The folder in which they, and statistics of them, are kept.
    """

    features: Features
    labels: npt.NDArray[np.int64]
    protocol: Protocol
    kept: Path

    def statistic(self, name: str, compute: Callable[[Array], Arrays]) -> Arrays:
        """Compute a statistic of the features once, and keep it.

        Args:
            name: Name of the statistic, with all that decides it besides the features.
            compute: Features to arrays by name; called if nothing is kept.

        Raises:
            OSError: if the folder cannot be written.
        """
        protocol = {**self.protocol, "statistic": name}
        return _kept(self.kept, protocol, lambda: compute(self.features.vectors))


class _Manifest(BaseModel):
    """Content of the references' `manifest.json`."""

    model_config = ConfigDict(frozen=True)

    protocol: Protocol
    sha256: dict[str, str]


def references_for(
    records: RecordSet,
    resolution: int,
    network: FeatureNetwork,
    folder: Path,
    *,
    split: Split = "train",
    mirrored: bool = False,
    report: Callable[[int, int], None] | None = None,
) -> References:
    """The features of every image of a split, as it is or mirrored, and of no mirrored copies.

    They are kept in `folder / <key>`, where the key is a hash of the data, the network and all else
    that decides them. What is kept and is not as it was written is computed anew.

    Args:
        records: The prepared set.
        resolution: One of its own, in pixels.
        network: Network that gives the features.
        folder: Folder of kept references, made if need be.
        split: `train`, or `val` for what a run never sees.
        mirrored: Whether each image is mirrored left to right.
        report: Called with the images done and their total while features are computed.

    Raises:
        UserError: if the network does not take such images.
        ValueError: if the set lacks the resolution or the split.
        OSError: if the folder cannot be written.
    """
    protocol: Protocol = {
        "format_version": FORMAT_VERSION,
        "data_hash": records.data_hash,
        "split": split,
        "resolution": resolution,
        "mirrored": "all" if mirrored else "none",
        "features": network.identity,
    }

    def compute() -> Arrays:
        return _computed(records, resolution, network, split, mirrored, report)

    arrays = _kept(folder, protocol, compute)
    features = Features(arrays[VECTORS], arrays.get(PROBABILITIES))
    return References(features, arrays[LABELS], protocol, folder)


def moments_of(references: References) -> Moments:
    """Return the moments that FID takes of references."""

    def compute(vectors: Array) -> Arrays:
        found = moments([vectors])
        return {"count": np.array(found.count), "mean": found.mean, "scatter": found.scatter}

    known = references.statistic("moments", compute)
    return Moments(int(known["count"]), known["mean"], known["scatter"])


def _computed(
    records: RecordSet,
    resolution: int,
    network: FeatureNetwork,
    split: Split,
    mirrored: bool,
    report: Callable[[int, int], None] | None,
) -> Arrays:
    samples = images_of(records, resolution, split, copies=False).batch(READ_AT_A_TIME)
    labels: list[npt.NDArray[np.int64]] = []

    def images() -> Iterator[Images]:
        for batch in samples.as_numpy_iterator():
            labels.append(batch["label"])
            yield batch["image"][:, :, ::-1] if mirrored else batch["image"]

    features = extract(network, images(), total=records.originals(split), report=report)
    arrays: Arrays = {VECTORS: features.vectors, LABELS: np.concatenate(labels)}
    if features.probabilities is not None:
        arrays[PROBABILITIES] = features.probabilities
    return arrays


def _kept(folder: Path, protocol: Protocol, compute: Callable[[], Arrays]) -> Arrays:
    """Return what is kept under a hash of the protocol; compute and write it if it is not."""
    key = hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest()[:32]
    kept = folder / key
    if (found := _read(kept, protocol)) is not None:
        return found
    arrays = compute()
    with suppress(FileNotFoundError):  # It is damaged, if it is there.
        remove_folder(kept)
    # Another process may have been quicker, with the same content.
    with suppress(FileExistsError):
        _write(kept, protocol, arrays)
    return arrays


def _write(folder: Path, protocol: Protocol, arrays: Arrays) -> None:
    with new_folder(folder) as temporary:
        sha256 = {}
        for name, array in arrays.items():
            file = temporary / f"{name}.npy"
            np.save(file, array, allow_pickle=False)
            sha256[name] = checksum(file)
        manifest = _Manifest(protocol=protocol, sha256=sha256)
        write_file(temporary / MANIFEST, manifest.model_dump_json(indent=2) + "\n")


def _read(folder: Path, protocol: Protocol) -> Arrays | None:
    """Read what is kept there, None if nothing is, or if it is not what was written."""
    try:
        manifest = _Manifest.model_validate_json((folder / MANIFEST).read_bytes())
        files = {path.stem for path in folder.glob("*.npy")}
        if manifest.protocol != protocol or files != manifest.sha256.keys():
            return None
        if any(checksum(folder / f"{name}.npy") != manifest.sha256[name] for name in files):
            return None
        return {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in files}
    except (OSError, ValueError, ValidationError):
        return None
