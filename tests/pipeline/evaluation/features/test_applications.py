from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from pipeline.errors import UserError
from pipeline.evaluation.features import open_features
from pipeline.evaluation.features.applications import _MODULES, NETWORKS
from pipeline.evaluation.features.resizing import antialiased_bicubic

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
CACHED = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A MobileNetV2 with random weights, in a file as Keras publishes them and in one of today."""
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2(
        include_top=False, weights=None, pooling="avg", input_shape=(224, 224, 3)
    )
    for layer in model.layers:  # Their own statistics, or all features are as good as nothing.
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(np.random.default_rng(1).uniform(-1, 1, (4, 224, 224, 3)), training=True)
    folder = tmp_path_factory.mktemp("keras")
    (folder / "models").mkdir()
    with h5py.File(folder / "models" / CACHED, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    model.save_weights(folder / "mine.weights.h5")
    return SimpleNamespace(model=model, home=folder, mine=folder / "mine.weights.h5")


@pytest.mark.slow
def test_features_are_those_of_keras(
    network: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(network.home))
    pixels = antialiased_bicubic(IMAGES, 224)
    expected = network.model(pixels / 127.5 - 1, training=False).numpy()
    cached = open_features("keras:MobileNetV2")
    found = cached(IMAGES)
    np.testing.assert_allclose(found.vectors, expected, rtol=1e-3, atol=1e-4)
    assert found.probabilities is None
    assert expected.std(axis=0).mean() > 1e-2
    given = open_features(f"keras:MobileNetV2:{network.mine}")
    assert cached.name == given.name == "keras:MobileNetV2"
    assert cached.identity != given.identity  # other bytes


def test_absent_weights_say_which_file_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(UserError) as caught:
        open_features("keras:InceptionV3")
    message = str(caught.value)
    assert "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5" in message
    assert "bcbd6486424b2319ff4ef7d526e38f63" in message
    assert str(tmp_path / "models") in message
    assert "\n" not in message
    with pytest.raises(UserError, match="states no hash"):
        open_features("keras:MobileNetV2")
    with pytest.raises(UserError, match=f"Received: {tmp_path}/none.h5, where there is none"):
        open_features(f"keras:VGG16:{tmp_path}/none.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["VGG16", "ConvNeXtTiny"])  # an MD5 and a SHA-256
def test_cached_weights_with_another_hash_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    NETWORKS[name].cached.parent.mkdir()
    NETWORKS[name].cached.write_bytes(b"half of a download")
    with pytest.raises(UserError, match=f"must have the hash {NETWORKS[name].hash}") as caught:
        open_features(f"keras:{name}")
    assert "\n" not in str(caught.value)


def test_other_files_and_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other.h5").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"without its classes\. Received: .*other\.h5") as caught:
        open_features(f"keras:MobileNetV2:{tmp_path / 'other.h5'}")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"one of ConvNeXtTiny, .*Received: LeNet"):
        open_features("keras:LeNet")


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_files_and_hashes_are_what_keras_asks_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AskedError(Exception):
        pass

    def get_file(file: str, address: str, **options: Any) -> str:
        raise AskedError(file, address, options["cache_subdir"], options.get("file_hash"))

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    side = NETWORKS[name].side
    with pytest.raises(AskedError) as asked:
        getattr(keras.applications, name)(
            include_top=False, pooling="avg", input_shape=(side, side, 3)
        )
    file, address, folder, known = asked.value.args
    assert (address, known) == (NETWORKS[name].address, NETWORKS[name].hash)
    assert NETWORKS[name].cached == Path.home() / ".keras" / folder / file
    assert callable(_MODULES[name].preprocess_input)
    usual = getattr(keras.applications, name)(weights=None).input_shape
    assert usual == (None, side, side, 3)
