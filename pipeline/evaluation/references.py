"""Features of real images to compare generated ones with, computed once and cached."""

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
"""Name of the default cache folder, beside prepared sets."""

Protocol = dict[str, str | int]
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class References:
    """Features of real images by one network.

    Args:
        features: Features of the n images, in the order of the records.
        labels: Class of each image, `(n,)`, -1 for unlabelled ones.
        protocol: Identity of set, split, resolution and network.
        kept: Cache folder for features and their statistics.
    """

    features: Features
    labels: npt.NDArray[np.int64]
    protocol: Protocol
    kept: Path

    def statistic(self, name: str, compute: Callable[[Array], Arrays]) -> Arrays:
        """Compute a statistic of the features once, and cache it.

        Args:
            name: Name of the statistic, with all its parameters.
            compute: Function from features to named arrays; called if nothing is cached.

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
    """Compute features of every image of a split, or of all mirrored; copies are left out.

    They are cached in `folder / <key>`, where the key is a hash of data, network and all else that
    decides them. Damaged caches are computed again.

    Args:
        records: Prepared set.
        resolution: Resolution in pixels, one of the set's.
        network: Network for the features.
        folder: Cache folder, made if needed.
        split: Split: `train`, or `val` for images that training never uses.
        mirrored: Whether to mirror each image left to right.
        report: Called with the number of images done and of all, while computing.

    Raises:
        UserError: if the network does not accept such images.
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
    """Return the moments of references for FID."""

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
    """Read arrays from the cache under a hash of the protocol, or compute and write them."""
    key = hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest()[:32]
    kept = folder / key
    if (found := _read(kept, protocol)) is not None:
        return found
    arrays = compute()
    with suppress(FileNotFoundError):  # If it exists, it is damaged.
        remove_folder(kept)
    # Another process may have written the same content in the meantime.
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
    """Read cached arrays; None if there are none, or they are damaged."""
    try:
        manifest = _Manifest.model_validate_json((folder / MANIFEST).read_bytes())
        files = {path.stem for path in folder.glob("*.npy")}
        # The key is a shortened hash, so the whole protocol is compared too.
        if manifest.protocol != protocol or files != manifest.sha256.keys():
            return None
        if any(checksum(folder / f"{name}.npy") != manifest.sha256[name] for name in files):
            return None
        return {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in files}
    except (OSError, ValueError, ValidationError):
        return None
