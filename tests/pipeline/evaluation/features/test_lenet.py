from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from pipeline.data.sources import open_source
from pipeline.errors import UserError
from pipeline.evaluation.features import open_features
from pipeline.evaluation.features.lenet import SHAPES


def random_weights() -> dict[str, np.ndarray]:
    draws = np.random.default_rng(0)
    made = {}
    for layer, shape in SHAPES.items():
        fan_in = np.prod(shape[1:])
        made[f"{layer}.weight"] = draws.normal(0, fan_in**-0.5, shape).astype(np.float32)
        made[f"{layer}.bias"] = draws.normal(0, 0.1, shape[:1]).astype(np.float32)
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.savez(tmp_path / "lenet.npz", **random_weights())
    return tmp_path / "lenet.npz"


def digits(side: int = 28, count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, side, side, 1), np.uint8)


def by_hand(digit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One digit `(28, 28)`, by formula."""
    weights = random_weights()
    centres = ((np.arange(32) + 0.5) * 28 / 32 - 0.5).clip(0, 27)
    low = np.minimum(centres.astype(int), 26)
    share = centres - low
    rows = np.zeros((32, 28))
    rows[np.arange(32), low] = 1 - share
    rows[np.arange(32), low + 1] = share
    maps = (rows @ (digit / 255.0) @ rows.T)[None]
    for index, layer in enumerate(("convnet.c1", "convnet.c3", "convnet.c5")):
        kernel, bias = weights[f"{layer}.weight"], weights[f"{layer}.bias"]
        maps = np.stack(
            [
                sum(
                    scipy.signal.correlate2d(plane, taps, "valid")
                    for plane, taps in zip(maps, out, strict=True)
                )
                + offset
                for out, offset in zip(kernel, bias, strict=True)
            ]
        )
        maps = np.tanh(maps)
        if index < 2:
            count, side, _ = maps.shape
            maps = maps.reshape(count, side // 2, 2, side // 2, 2).max(axis=(2, 4))
    features = np.tanh(weights["fc.f6.weight"] @ maps.ravel() + weights["fc.f6.bias"])
    scores = np.exp(weights["fc.f7.weight"] @ features + weights["fc.f7.bias"])
    return features, scores / scores.sum()


def test_features_are_those_of_the_formula(file: Path) -> None:
    images = digits()
    found = open_features(f"lenet:{file}")(images)
    features, probabilities = zip(*(by_hand(image[..., 0]) for image in images), strict=True)
    np.testing.assert_allclose(found.vectors, features, atol=2e-6)
    np.testing.assert_allclose(found.probabilities, probabilities, atol=2e-6)


def test_of_32_px_the_padding_is_cropped(file: Path) -> None:
    network = open_features(f"lenet:{file}")
    padded = digits(32)
    inner = np.ascontiguousarray(padded[:, 2:-2, 2:-2])
    np.testing.assert_array_equal(network(padded).vectors, network(inner).vectors)


def test_other_images_and_files_are_refused_in_one_line(file: Path, tmp_path: Path) -> None:
    network = open_features(f"lenet:{file}")
    with pytest.raises(UserError, match=r"28 or 32 px on both sides\. Received: 16 by 16 px"):
        network(digits(16))
    with pytest.raises(UserError, match="takes grey images only"):
        network(np.repeat(digits(), 3, axis=-1))
    wrong = random_weights() | {"fc.f6.bias": np.zeros(85, np.float32)}
    np.savez(tmp_path / "shape.npz", **wrong)
    np.savez(tmp_path / "pickle.npz", **(wrong | {"fc.f6.bias": np.array([{}], object)}))
    np.savez(tmp_path / "names.npz", other=np.zeros(3))
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("no archive")
    names = ["absent.npz", "shape.npz", "pickle.npz", "names.npz", "array.npy", "text.npz"]
    for name in names:
        with pytest.raises(UserError, match="Received: ") as caught:
            open_features(f"lenet:{tmp_path / name}")
        assert "\n" not in str(caught.value)


def test_the_shared_weights_know_mnist(shared_folder: Path) -> None:
    network = open_features(f"lenet:{shared_folder / 'data/lenet_mnist.npz'}")
    source = open_source(str(shared_folder / "data/mnist/t10k-images-idx3-ubyte.gz"))
    pictures = [source[index] for index in range(1000)]
    images = np.stack([np.asarray(picture.read()) for picture in pictures])[..., None]
    found = network(images).probabilities
    assert (found.argmax(axis=1) == [picture.label for picture in pictures]).mean() > 0.97
