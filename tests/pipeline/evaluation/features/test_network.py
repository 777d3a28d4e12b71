from collections.abc import Callable

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.evaluation.features import FeatureNetwork, open_features
from pipeline.evaluation.features.network import with_channels

IMAGES = np.random.default_rng(0).integers(0, 256, (11, 4, 4, 3), np.uint8)


def network(batch: int = 4, seen: Callable[[np.ndarray], object] = id) -> FeatureNetwork:
    """Means of rows, and of columns as probabilities, with what depends on the batch's size."""

    def forward(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen(images)
        means = images.astype(np.float64).mean(axis=-1)
        return means.mean(axis=1) + len(images), means.mean(axis=2)

    return FeatureNetwork("means", "00", {"layer": "rows"}, forward, batch=batch)


def test_the_network_gets_batches_of_one_size_and_rows_keep_their_order() -> None:
    shapes: list[tuple[int, ...]] = []
    features = network(seen=lambda images: shapes.append(images.shape))(IMAGES)
    assert shapes == [(4, 4, 4, 3)] * 3
    np.testing.assert_allclose(features.vectors, IMAGES.mean(axis=(1, 3)) + 4, rtol=1e-6)
    np.testing.assert_allclose(features.probabilities, IMAGES.mean(axis=(2, 3)), rtol=1e-6)
    assert features.vectors.dtype == features.probabilities.dtype == np.float32


@pytest.mark.parametrize("parts", [1, 2, 3, 11])
def test_features_do_not_depend_on_how_many_images_come_at_once(parts: int) -> None:
    mine = network()
    split = np.concatenate([mine(part).vectors for part in np.array_split(IMAGES, parts)])
    np.testing.assert_array_equal(split, mine(IMAGES).vectors)


def test_no_images_are_refused() -> None:
    with pytest.raises(ValueError, match="Received: none"):
        network()(IMAGES[:0])


def test_the_identity_covers_weights_and_protocol_and_not_the_batch() -> None:
    def identity(name: str = "a", weights: str = "00", layer: str = "last", batch: int = 4) -> str:
        protocol = {"layer": layer, "resize": "none"}
        return FeatureNetwork(name, weights, protocol, lambda _: (0, None), batch=batch).identity

    assert identity() == identity(batch=8)
    assert len({identity(), identity(name="b"), identity(weights="01"), identity(layer="x")}) == 4
    assert len(identity()) == 64


def test_channels() -> None:
    grey = IMAGES[..., :1]
    assert with_channels(IMAGES, 3, "a net") is IMAGES
    np.testing.assert_array_equal(with_channels(grey, 3, "a net"), np.concatenate([grey] * 3, -1))
    with pytest.raises(UserError, match=r"a net takes grey images only\. .*: images of 3 channels"):
        with_channels(IMAGES, 1, "a net")


@pytest.mark.parametrize(
    "spec", ["", "inception", "vgg:file", "lenet_mnist.npz", "keras:", "lenet:"]
)
def test_other_specifications_are_refused_in_one_line(spec: str) -> None:
    with pytest.raises(UserError, match=r"Received: .*") as caught:
        open_features(spec)
    assert "\n" not in str(caught.value)
