from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from pipeline.config import DataConfig
from pipeline.data.prepare import records_for
from pipeline.data.records import RecordSet
from pipeline.errors import UserError
from pipeline.evaluation.features import open_features
from pipeline.evaluation.features.classifier import classifier_model, read_manifest
from pipeline.evaluation.features.classifier_training import (
    _shift,
    accuracy_of,
    default_epochs,
    load_classifier_data,
    train_classifier,
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> RecordSet:
    data = DataConfig(source="digits", channels=1, records=tmp_path_factory.mktemp("records"))
    return records_for(data, (4, 8, 16))


@pytest.fixture(scope="module")
def trained(digits: RecordSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features") / "digits"
    train_classifier(load_classifier_data(digits, 8), folder, seed=3, epochs=2)
    return folder


@pytest.fixture
def coloured(tmp_path: Path) -> Callable[..., RecordSet]:
    """Make a set of pictures of 8 px in folders, which may be classes."""

    def make(counts: dict[str, int], **options: object) -> RecordSet:
        for number, (name, count) in enumerate(counts.items()):
            folder = tmp_path / "pictures" / name
            folder.mkdir(parents=True)
            for index in range(count):
                values = np.full((8, 8, 3), 100 * number + index, np.uint8)
                values[:, 4:] //= 2
                PIL.Image.fromarray(values).save(folder / f"{index}.png")
        data = {"source": str(tmp_path / "pictures"), "records": tmp_path / "records", **options}
        return records_for(DataConfig.model_validate(data), (4, 8))

    return make


def test_a_trained_classifier_is_opened_as_it_was(digits: RecordSet, trained: Path) -> None:
    manifest, network = read_manifest(trained), open_features(f"classifier:{trained}")
    examples = load_classifier_data(digits, 8)
    assert sorted(path.name for path in trained.iterdir()) == ["manifest.json", "weights.npz"]
    assert network.classes == manifest.classes == tuple("0123456789")
    assert network.weights_hash == manifest.weights_hash
    assert accuracy_of(network, examples.held_out) == manifest.accuracy
    assert manifest.accuracy > 0.5  # a tenth by chance
    assert manifest.data_hash == digits.data_hash
    assert (manifest.trained_on, manifest.held_out) == (1617, 180)
    features = network(examples.held_out.images[:5])
    assert features.vectors.shape == (5, 128)
    np.testing.assert_allclose(features.probabilities.sum(axis=1), 1, rtol=1e-5)


def test_the_same_seed_gives_the_same_bits_and_another_others(
    digits: RecordSet, trained: Path, tmp_path: Path
) -> None:
    again, other = tmp_path / "again", tmp_path / "other"
    train_classifier(load_classifier_data(digits, 8), again, seed=3, epochs=2)
    train_classifier(load_classifier_data(digits, 8), other, seed=4, epochs=1)
    assert read_manifest(again) == read_manifest(trained)
    identities = [open_features(f"classifier:{folder}").identity for folder in (trained, again)]
    assert identities[0] == identities[1]
    assert read_manifest(other).weights_hash != read_manifest(trained).weights_hash


def test_images_of_other_sizes_and_channels(trained: Path) -> None:
    network = open_features(f"classifier:{trained}")
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8)
    larger = images.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(network(larger).vectors, network(images).vectors)
    assert network(images[:, ::2, ::2]).vectors.shape == (3, 128)
    with pytest.raises(UserError, match=r"a multiple of it\. Received: 12 by 12 px"):
        network(np.zeros((1, 12, 12, 1), np.uint8))
    with pytest.raises(UserError, match="takes grey images only"):
        network(np.repeat(images, 3, axis=-1))


def test_an_interrupted_training_leaves_nothing(digits: RecordSet, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done > 200:
            raise SystemExit(130)

    with pytest.raises(SystemExit):
        train_classifier(
            load_classifier_data(digits, 8), tmp_path / "x", seed=0, epochs=1, report=interrupt
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage", ["weights", "manifest", "no weights", "no manifest", "swapped", "sizes", "classes"]
)
def test_damaged_folders_are_refused_in_one_line(
    trained: Path, tmp_path: Path, damage: str
) -> None:
    weights, manifest = (trained / name for name in ("weights.npz", "manifest.json"))
    content = bytearray(weights.read_bytes())
    if damage == "weights":
        content[len(content) // 2] ^= 1
    if damage == "swapped":  # another value, in a file that is whole
        arrays = dict(np.load(weights))
        arrays["logits/bias"] = arrays["logits/bias"] + 1
        np.savez(tmp_path / "weights.npz", **arrays)
    elif damage != "no weights":
        (tmp_path / "weights.npz").write_bytes(content)
    if damage != "no manifest":
        text = manifest.read_text()
        if damage == "sizes":
            text = text.replace('"resolution": 8', '"resolution": 16')
        if damage == "classes":
            text = text.replace('    "0",\n', "")
        (tmp_path / "manifest.json").write_text(text[:-9] if damage == "manifest" else text)
    with pytest.raises(UserError, match="Received: ") as caught:
        open_features(f"classifier:{tmp_path}")
    assert "\n" not in str(caught.value)


def test_the_network_of_each_resolution() -> None:
    for resolution, first in ((8, "4x4"), (32, "16x16"), (128, "64x64")):
        model = classifier_model(resolution, 3, 5)
        features, logits = model.output_shape
        assert (features, logits) == ((None, 128), (None, 5))
        assert model.layers[1].name == f"convolution_{first}"
        assert model.count_params() < 300_000


def test_the_validation_part_is_held_out_and_mirrored_copies_are_passed_over(coloured) -> None:
    records = coloured({"a": 40, "b": 20}, val=0.2, mirrored_copies=True)
    assert (records.count, records.size("val")) == (96, 12)
    examples = load_classifier_data(records, 8)
    assert (len(examples.training.labels), len(examples.held_out.labels)) == (48, 12)
    # Those as they are have the brighter half on the left.
    left, right = (
        examples.training.images[..., part, :].mean() for part in (slice(4), slice(4, 8))
    )
    assert left > 1.9 * right


def test_images_that_cannot_be_learnt_from_are_refused_in_one_line(coloured) -> None:
    def refused(records: RecordSet, rule: str, resolution: int = 8) -> None:
        with pytest.raises(UserError, match=rule) as caught:
            load_classifier_data(records, resolution)
        assert "\n" not in str(caught.value)

    records = coloured({"a": 30, "b": 30})
    refused(records, r"\[8\]. Received: 16", 16)
    refused(records, r"\[8\]. Received: 4", 4)
    only = {"source": records.source, "classes": ("a",)}
    given = str(records.folder.parent.parent / "pictures")
    one = DataConfig.model_validate({**only, "source": given, "records": records.folder.parent})
    refused(records_for(one, (4, 8)), "at least two classes. Received: pictures, with a$")
    few = one.model_copy(update={"classes": None, "max_images": 19})
    refused(records_for(few, (4, 8)), "at least 20 labelled pictures.* Received: 17 and 2")
    unlabelled = one.model_copy(update={"classes": None, "source": f"{given}/a"})
    refused(records_for(unlabelled, (4, 8)), "labelled pictures: .*Received: a, which has no")


def test_shifts_move_whole_images_by_a_sixteenth_at_most() -> None:
    image = np.arange(32 * 32, dtype=np.int64).reshape(1, 32, 32, 1).astype(np.uint8)
    moved = _shift(np.repeat(image, 300, axis=0), np.random.default_rng(0))
    padded = np.pad(image[0, ..., 0], 2, mode="edge")
    possible = {
        padded[top : top + 32, left : left + 32].tobytes() for top in range(5) for left in range(5)
    }
    assert {each.tobytes() for each in moved} == possible


@pytest.mark.parametrize(("images", "epochs"), [(20, 40), (1617, 40), (54_000, 5), (100_000, 4)])
def test_default_epochs(images: int, epochs: int) -> None:
    assert default_epochs(images) == epochs


def test_the_manifest_has_the_lineage(trained: Path) -> None:
    written = json.loads((trained / "manifest.json").read_text())
    assert written["source"] == "digits"
    assert (written["seed"], written["epochs"], written["resolution"]) == (3, 2, 8)
    assert len(written["data_hash"]) == len(written["weights_hash"]) == 64


@pytest.mark.slow
def test_it_knows_the_digits_and_sees_what_was_done_to_images(
    digits: RecordSet, tmp_path: Path
) -> None:
    examples = load_classifier_data(digits, 16)
    manifest = train_classifier(examples, tmp_path / "digits", seed=0)
    assert manifest.accuracy > 0.97
    network = open_features(f"classifier:{tmp_path / 'digits'}")
    reals, others = examples.training.images[::2], examples.training.images[1::2]
    draws = np.random.default_rng(0)

    def distance(images: np.ndarray) -> float:
        """FID by the eigenvalues of the product of the covariances."""
        one, other = (network(part).vectors.astype(np.float64) for part in (reals, images))
        covariances = [np.cov(part, rowvar=False) for part in (one, other)]
        roots = np.sqrt(np.maximum(np.linalg.eigvals(covariances[0] @ covariances[1]).real, 0))
        moved = ((one.mean(axis=0) - other.mean(axis=0)) ** 2).sum()
        return moved + np.trace(covariances[0] + covariances[1]) - 2 * roots.sum()

    def noisy(strength: float) -> np.ndarray:
        return (others + draws.normal(0, strength, others.shape)).clip(0, 255).astype(np.uint8)

    scores = [distance(images) for images in (others, noisy(20), noisy(40), noisy(80))]
    assert scores == sorted(scores)
    assert scores[1] > 2 * scores[0]
    one_class = others[draws.permutation(np.flatnonzero(np.arange(len(others)) < 50)).repeat(16)]
    assert distance(one_class) > 2 * scores[0]


@pytest.mark.slow
@pytest.mark.thorough
def test_it_knows_mnist(shared_folder: Path, tmp_path: Path) -> None:
    source = str(shared_folder / "data/mnist")
    data = DataConfig(source=source, channels=1, crop="pad", records=tmp_path / "records")
    examples = load_classifier_data(records_for(data, (4, 8, 16, 32)), 32)
    assert train_classifier(examples, tmp_path / "mnist", seed=0).accuracy > 0.99
