"""Features of the real images that generated ones are compared with, cached on disk."""

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
from pydantic import BaseModel, ConfigDict

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
READ_AT_A_TIME = 256  # Number of images in a batch that is read from the records.
REFERENCES = "references"  # Name of the default cache folder, beside prepared sets.

Protocol = dict[str, str | int]
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class References:
    """Features of n real images by one network, in the order of the records."""

    features: Features  # Features of the images
    labels: npt.NDArray[np.int64]  # Class of each image, `(n,)`; -1 for unlabelled images
    protocol: Protocol
    """Everything that decides the features: set, split, resolution, network and so on."""
    cache: Path  # Folder that caches features and their statistics

    def statistic(self, name: str, compute: Callable[[Array], Arrays]) -> Arrays:
        """Compute a statistic of the features, or read it from the cache under its name.

        The name must include all parameters: the cache cannot tell statistics of one name apart.
        """
        protocol = {**self.protocol, "statistic": name}
        return _read_or_compute(self.cache, protocol, lambda: compute(self.features.vectors))

    def moments(self) -> Moments:
        """Return count, mean and scatter of the features, for FID."""

        def compute(vectors: Array) -> Arrays:
            found = moments([vectors])
            return {"count": np.array(found.count), "mean": found.mean, "scatter": found.scatter}

        known = self.statistic("moments", compute)
        return Moments(int(known["count"]), known["mean"], known["scatter"])


class _Manifest(BaseModel):
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
    """Compute the features of all images of a split, or read them from the cache.

    They are cached in `folder / <key>`, where the key is a hash of everything that decides them. A
    damaged cache is computed again.

    Mirrored copies in the set are left out; `mirrored` mirrors every image instead. `report` is
    called with the numbers of images done and in all.

    Raises:
        UserError: if the network does not accept the images.
        ValueError: if the set has no such resolution or split.
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
        samples = images_of(records, resolution, split, copies=False).batch(READ_AT_A_TIME)
        labels: list[npt.NDArray[np.int64]] = []

        def images() -> Iterator[Images]:
            for batch in samples.as_numpy_iterator():
                # Collect the labels in the same pass, so that the set is read once.
                labels.append(batch["label"])
                yield batch["image"][:, :, ::-1] if mirrored else batch["image"]

        found = extract(network, images(), total=records.originals(split), report=report)
        arrays: Arrays = {VECTORS: found.vectors, LABELS: np.concatenate(labels)}
        if found.probabilities is not None:
            arrays[PROBABILITIES] = found.probabilities
        return arrays

    arrays = _read_or_compute(folder, protocol, compute)
    features = Features(arrays[VECTORS], arrays.get(PROBABILITIES))
    return References(features, arrays[LABELS], protocol, folder)


def _read_or_compute(folder: Path, protocol: Protocol, compute: Callable[[], Arrays]) -> Arrays:
    """Read arrays from the cache under a hash of the protocol, or compute and cache them."""
    key = hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest()[:32]
    entry = folder / key
    if (found := _read(entry, protocol)) is not None:
        return found
    arrays = compute()
    with suppress(FileNotFoundError):
        # Remove a damaged entry: `new_folder` would refuse to replace it.
        remove_folder(entry)
    # Ignore an existing entry: another process may have written the same content meanwhile.
    with suppress(FileExistsError):
        _write(entry, protocol, arrays)
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
    """Read cached arrays; None if they are missing or damaged."""
    try:
        manifest = _Manifest.model_validate_json((folder / MANIFEST).read_bytes())
        files = {path.stem for path in folder.glob("*.npy")}
        # Compare the whole protocol: the key is a shortened hash, which may collide.
        if manifest.protocol != protocol or files != manifest.sha256.keys():
            return None
        # Compare checksums: a flipped bit would change scores unnoticed.
        if any(checksum(folder / f"{name}.npy") != manifest.sha256[name] for name in files):
            return None
        # Refuse pickles, which run code when they are read.
        return {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in files}
    except (OSError, ValueError):
        return None
