"""Feature networks of keras.applications, from weights that are already on this machine."""

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
PUBLISHED = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclass(frozen=True)
class Weights:
    """File of a network's ImageNet weights without the classification layer."""

    address: str
    """URL from which Keras downloads it."""
    hash: str | None
    """MD5 or SHA-256 of the file, in hex; None if Keras states none."""
    side: int = 224
    """Side of the network's images in pixels."""

    @property
    def cached(self) -> Path:
        """Path of the file in Keras's cache."""
        home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
        return home / "models" / self.address.rpartition("/")[2]


NETWORKS = {
    "ConvNeXtTiny": Weights(
        f"{PUBLISHED}/convnext/convnext_tiny_notop.h5",
        "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    ),
    "DenseNet121": Weights(
        f"{PUBLISHED}/densenet/densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "30ee3e1110167f948a6b9946edeeb738",
    ),
    "EfficientNetB0": Weights(
        "https://storage.googleapis.com/keras-applications/efficientnetb0_notop.h5",
        "50bc09e76180e00e4465e1a485ddc09d",
    ),
    "InceptionV3": Weights(
        f"{PUBLISHED}/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "bcbd6486424b2319ff4ef7d526e38f63",
        side=299,
    ),
    "MobileNetV2": Weights(
        f"{PUBLISHED}/mobilenet_v2/"
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        None,
    ),
    "ResNet50": Weights(
        f"{PUBLISHED}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "4d473c1dd8becc155b73f8504c6f6626",
    ),
    "VGG16": Weights(
        f"{PUBLISHED}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "6d6bbae143d832006294945121d1f1fc",
    ),
    "Xception": Weights(
        f"{PUBLISHED}/xception/xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
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
    """Open a network of keras.applications; features are its last maps, averaged over the image.

    The network is `NAME`, for the weights that Keras has cached, or `NAME:WEIGHTS`, for a file of
    weights without the classification layer. Nothing is downloaded.

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
    # A cached file may be incomplete or of another version; a given one is the user's choice.
    if not given and known.hash and _hash_like(known.hash, file) != known.hash:
        raise UserError(
            f"the cached weights of `keras:{name}` must have the hash {known.hash}, as those of "
            f"{known.address}. Received: {file}, with {_hash_like(known.hash, file)}"
        )
    module = _MODULES[name]
    model = _model(name, file, known.side)

    @tf.function
    def compiled(images: Any) -> Any:
        return model(module.preprocess_input(images), training=False)

    def forward(images: Images) -> Any:
        # To the size that the network was made for, before Keras's preprocessing of its own.
        resized = antialiased_bicubic(with_channels(images, 3, f"keras:{name}"), known.side)
        return compiled(resized), None

    protocol = {
        "resize": "antialiased bicubic of Pillow",
        "side": str(known.side),
        "layer": "last maps, averaged",
    }
    return FeatureNetwork(f"keras:{name}", checksum(file), protocol, forward, batch=BATCH)


def _model(name: str, file: Path, side: int) -> keras.Model:
    make = getattr(keras.applications, name)
    try:
        return make(
            include_top=False, weights=str(file), pooling="avg", input_shape=(side, side, 3)
        )
    # Keras passes on any error of h5py and of its own reader.
    except Exception as error:
        raise UserError(
            f"`keras:{name}:FILE` must hold the weights of {name} without its classes. "
            f"Received: {file} ({' '.join(str(error).split())[:200]})"
        ) from error


def _hash_like(known: str, file: Path) -> str:
    if len(known) == 64:
        return checksum(file)
    # Keras states an MD5, of 32 digits, for its older files.
    with file.open("rb") as content:
        return hashlib.file_digest(content, "md5").hexdigest()
