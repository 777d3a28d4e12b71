from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import DataConfig
from pipeline.data.dataset import images_of
from pipeline.data.prepare import records_for
from pipeline.data.records import RecordSet
from pipeline.evaluation.features import FeatureNetwork
from pipeline.evaluation.references import References, references_for


class Means:
    """Feature networks that count the images they see."""

    def __init__(self) -> None:
        self.seen = 0

    def network(self, weights: str = "00", *, classes: bool = True) -> FeatureNetwork:
        def forward(images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
            self.seen += len(images)
            means = images.mean(axis=(2, 3))
            return means, means / 255 if classes else None

        return FeatureNetwork("means", weights, {}, forward, batch=10)


@pytest.fixture
def means() -> Means:
    return Means()


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> RecordSet:
    data = {"source": "digits", "channels": 1, "max_images": 120, "val": 0.25}
    folder = tmp_path_factory.mktemp("records")
    config = DataConfig.model_validate({**data, "mirrored_copies": True, "records": folder})
    return records_for(config, (4, 8))


def same(one: References, other: References) -> bool:
    (a, b), (c, d) = one.features, other.features
    equal = (a == c).all() and (one.labels == other.labels).all() and (b is None) == (d is None)
    return bool(equal and (b is None or (b == d).all()) and one.protocol == other.protocol)


def test_features_are_those_of_every_image_as_it_is(
    records: RecordSet, means: Means, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    found = references_for(
        records, 8, means.network(), tmp_path, report=lambda *numbers: told.append(numbers)
    )
    every = list(images_of(records, 8).as_numpy_iterator())
    assert len(every) == 180
    plain = every[::2]  # a mirrored copy follows each
    expected = np.stack([sample["image"] for sample in plain]).mean(axis=(2, 3))
    np.testing.assert_allclose(found.features.vectors, expected, rtol=1e-6)
    assert found.features.vectors.dtype == np.float32
    assert found.labels.tolist() == [sample["label"] for sample in plain]
    assert told[-1] == (90, 90)
    assert means.seen == 90


def test_features_of_mirrored_images_are_kept_beside(
    records: RecordSet, means: Means, tmp_path: Path
) -> None:
    plain = references_for(records, 8, means.network(), tmp_path)
    mirrored = references_for(records, 8, means.network(), tmp_path, mirrored=True)
    every = [sample["image"][:, ::-1] for sample in images_of(records, 8).as_numpy_iterator()]
    expected = np.stack(every[::2]).mean(axis=(2, 3))
    np.testing.assert_allclose(mirrored.features.vectors, expected, rtol=1e-6)
    assert mirrored.labels.tolist() == plain.labels.tolist()
    assert same(references_for(records, 8, means.network(), tmp_path), plain)


@pytest.mark.parametrize("classes", [True, False])
def test_they_are_computed_once(
    records: RecordSet, means: Means, tmp_path: Path, classes: bool
) -> None:
    network = means.network(classes=classes)
    first = references_for(records, 8, network, tmp_path / "kept")
    seen = means.seen
    assert same(references_for(records, 8, network, tmp_path / "kept"), first)
    assert means.seen == seen
    assert (first.features.probabilities is not None) == classes


def test_statistics_of_them_are_computed_once(
    records: RecordSet, means: Means, tmp_path: Path
) -> None:
    calls: list[int] = []

    def compute(vectors: np.ndarray) -> dict[str, np.ndarray]:
        calls.append(len(vectors))
        return {"sum": vectors.sum(0, dtype=np.float64), "count": np.array(len(vectors))}

    network = means.network()
    for _ in range(2):
        references = references_for(records, 8, network, tmp_path)
        found = references.statistic("sum", compute)
        np.testing.assert_array_equal(found["sum"], references.features.vectors.sum(0, np.float64))
        assert int(found["count"]) == 90
    assert calls == [90]
    references.statistic("another sum", compute)
    references_for(records, 8, network, tmp_path, split="val").statistic("sum", compute)
    assert calls == [90, 90, 30]


def test_another_network_resolution_or_split_is_another_entry(
    records: RecordSet, means: Means, tmp_path: Path
) -> None:
    network = means.network()
    references_for(records, 8, network, tmp_path)
    references_for(records, 4, network, tmp_path)
    references_for(records, 8, means.network("01"), tmp_path)
    val = references_for(records, 8, network, tmp_path, split="val")
    assert len(val.labels) == 30
    assert len(list(tmp_path.iterdir())) == 4
    assert not list(tmp_path.glob(".*"))


def damaged(kept: Path, how: str) -> None:
    vectors, manifest = kept / "vectors.npy", kept / "manifest.json"
    if how == "a bit":
        content = bytearray(vectors.read_bytes())
        content[-1] ^= 1
        vectors.write_bytes(content)
    elif how == "half":
        vectors.write_bytes(vectors.read_bytes()[:300])
    elif how == "no file":
        vectors.unlink()
    elif how == "no manifest":
        manifest.unlink()
    elif how == "manifest":
        manifest.write_text("{")
    else:
        stated = json.loads(manifest.read_text())
        if how == "foreign":
            stated["protocol"]["data_hash"] = "0" * 64
        else:
            stated["sha256"]["../../other"] = "0"
        manifest.write_text(json.dumps(stated))


@pytest.mark.parametrize(
    "how", ["a bit", "half", "no file", "no manifest", "manifest", "foreign", "more files"]
)
def test_what_is_not_as_it_was_written_is_computed_anew(
    records: RecordSet, means: Means, tmp_path: Path, how: str
) -> None:
    network = means.network()
    first = references_for(records, 4, network, tmp_path)
    [kept] = tmp_path.iterdir()
    before = {file.name: file.read_bytes() for file in kept.iterdir()}
    damaged(kept, how)
    seen = means.seen
    assert same(references_for(records, 4, network, tmp_path), first)
    assert means.seen == 2 * seen
    assert list(tmp_path.iterdir()) == [kept]
    assert {file.name: file.read_bytes() for file in kept.iterdir()} == before


def test_what_another_process_has_written_in_the_meantime_is_left(
    records: RecordSet, means: Means, tmp_path: Path
) -> None:
    network = means.network()

    def other(done: int, total: int) -> None:
        if done == total:
            references_for(records, 4, means.network(), tmp_path)

    found = references_for(records, 4, network, tmp_path, report=other)
    assert same(references_for(records, 4, network, tmp_path), found)
    assert len(list(tmp_path.iterdir())) == 1
