"""Feature networks `keras:NAME` of keras.applications, from weights already on this machine."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from pipeline.errors import UserError
from pipeline.evaluation.features.network import FeatureNetwork, Images, with_channels
from pipeline.evaluation.features.resizing import antialiased_bicubic
from savedmodels.checksum import checksum

BATCH = 32
BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclass(frozen=True)
class Weights:
    """Published ImageNet weights of a network, without its classification layer."""

    address: str  # URL from which Keras downloads the file.
    hash: str | None  # MD5 or SHA-256 of the file, in hex; None if Keras states none.
    side: int = 224  # Side of the network's input in pixels.

    @property
    def cached(self) -> Path:
        """Path at which Keras caches the file."""
        home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
        return home / "models" / self.address.rpartition("/")[2]


NETWORKS = {
    "ConvNeXtTiny": Weights(
        f"{BASE_URL}/convnext/convnext_tiny_notop.h5",
        "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    ),
    "DenseNet121": Weights(
        f"{BASE_URL}/densenet/densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "30ee3e1110167f948a6b9946edeeb738",
    ),
    "EfficientNetB0": Weights(
        "https://storage.googleapis.com/keras-applications/efficientnetb0_notop.h5",
        "50bc09e76180e00e4465e1a485ddc09d",
    ),
    "InceptionV3": Weights(
        f"{BASE_URL}/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "bcbd6486424b2319ff4ef7d526e38f63",
        side=299,
    ),
    "MobileNetV2": Weights(
        f"{BASE_URL}/mobilenet_v2/"
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        None,
    ),
    "ResNet50": Weights(
        f"{BASE_URL}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "4d473c1dd8becc155b73f8504c6f6626",
    ),
    "VGG16": Weights(
        f"{BASE_URL}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "6d6bbae143d832006294945121d1f1fc",
    ),
    "Xception": Weights(
        f"{BASE_URL}/xception/xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "b0042744bf5b25fce3cb969f33bebb97",
        side=299,
    ),
}
_MODULES = {
    "ConvNeXtTiny": keras.applications.convnext,
    "DenseNet121": keras.applications.densenet,
    "EfficientNetB0": keras.applications.efficientnet,
    "InceptionV3": keras.applications.inception_v3,
    "MobileNetV2": keras.applications.mobilenet_v2,
    "ResNet50": keras.applications.resnet50,
    "VGG16": keras.applications.vgg16,
    "Xception": keras.applications.xception,
}


def open_application(spec: str) -> FeatureNetwork:
    """Open a network of keras.applications; features are its last feature maps, averaged.

    Args:
        spec: `NAME` to use the weights in Keras's cache, or `NAME:WEIGHTS` to use a file of weights
            without the classification layer. Nothing is downloaded.

    Raises:
        UserError: if there is no such network, or its weights are missing or of another network.
    """
    name, _, given = spec.partition(":")
    if name not in NETWORKS:
        raise UserError(
            f"`keras:NAME` must be one of {', '.join(NETWORKS)}. Received: {name or 'no name'}"
        )
    known = NETWORKS[name]
    file = Path(given).expanduser() if given else known.cached
    if not file.is_file():
        stated = f"hash {known.hash}" if known.hash else "of which Keras states no hash"
        raise UserError(
            f"`keras:{name}` needs the file of {known.address} ({stated}), in "
            f"{known.cached.parent} or as `keras:{name}:FILE`; nothing is downloaded here. "
            f"Received: {file}, where there is none"
        )
    # Check a cached file, which may be incomplete or outdated. A given file is the user's choice.
    if not given and known.hash and _hash_like(known.hash, file) != known.hash:
        raise UserError(
            f"the cached weights of `keras:{name}` must have the hash {known.hash}, as those of "
            f"{known.address}. Received: {file}, with {_hash_like(known.hash, file)}"
        )
    module = _MODULES[name]
    model = _load_model(name, file, known.side)

    @tf.function
    def predict(images: Any) -> Any:
        return model(module.preprocess_input(images), training=False)

    def forward(images: Images) -> Any:
        # Resize to the side that the network was trained on: `preprocess_input` does not resize.
        resized = antialiased_bicubic(with_channels(images, 3, f"keras:{name}"), known.side)
        return predict(resized), None

    protocol = {
        "resize": "antialiased bicubic of Pillow",
        "side": str(known.side),
        "layer": "last maps, averaged",
    }
    return FeatureNetwork(f"keras:{name}", checksum(file), protocol, forward, batch=BATCH)


def _load_model(name: str, file: Path, side: int) -> keras.Model:
    make = getattr(keras.applications, name)
    try:
        return make(
            include_top=False, weights=str(file), pooling="avg", input_shape=(side, side, 3)
        )
    # Catch every type: Keras passes on any error of h5py and of its own reader.
    except Exception as error:
        raise UserError(
            f"`keras:{name}:FILE` must hold the weights of {name} without its classes. "
            f"Received: {file} ({' '.join(str(error).split())[:200]})"
        ) from error


def _hash_like(known: str, file: Path) -> str:
    """Hash a file with the algorithm of the `known` hash."""
    if len(known) == 64:
        return checksum(file)
    # Use MD5 (32 digits), which Keras states for its older files.
    with file.open("rb") as content:
        return hashlib.file_digest(content, "md5").hexdigest()
