"""Feature network `classifier:FOLDER`: a small classifier trained on the user's own images.

`growgan features train` writes its folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import keras
import tensorflow as tf
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import UserError
from pipeline.evaluation.features.arrays import Arrays, hash_of, npz_of, read_arrays
from pipeline.evaluation.features.network import FeatureNetwork, Images, with_channels
from pipeline.evaluation.features.resizing import box_or_nearest
from savedmodels.atomic import new_folder, write_file

MANIFEST, WEIGHTS = "manifest.json", "weights.npz"
MIN_SIDE = 8  # Smallest resolution of a classifier, in pixels.
LAST_SIDE, LAST_MAPS, MIN_MAPS = 4, 128, 8
"""Side in pixels and number of the last feature maps, and minimum number of maps in any stage."""
BATCH = 128


class ClassifierManifest(BaseModel):
    """Content of a classifier's `manifest.json`."""

    model_config = ConfigDict(frozen=True)

    # Increase this when the network or the meaning of a field changes.
    format_version: Literal[1]
    classes: tuple[str, ...]
    resolution: int
    channels: Literal[1, 3]
    weights_hash: str
    """SHA-256, in hex, of the weights."""
    accuracy: float
    """Share of the held-out images that the classifier classifies correctly."""
    held_out: int
    """Number of held-out images, on which the accuracy was measured."""
    trained_on: int
    """Number of images that the classifier was trained on."""
    epochs: int
    seed: int
    source: str
    """Short name of the source of the images."""
    data_hash: str
    """SHA-256, in hex, of the prepared set."""
    growgan: str
    """Version of GrowGAN that trained the classifier."""


def classifier_model(resolution: int, channels: int, classes: int, *, seed: int = 0) -> keras.Model:
    """Make a convolutional network that halves the resolution per stage, down to 4 px.

    A stage is a 3x3 convolution of stride 2, batch normalisation and a ReLU. The stage that ends at
    4 px has 128 maps; each earlier stage has half as many as the next, but at least 8. One more
    stage of 128 maps follows, with stride 1; features are the means of its maps. The resolution
    must be a power of two from 8.

    Call: float32 `(batch, resolution, resolution, channels)` in [-1, 1] → features `(batch, 128)`
    and logits `(batch, classes)`.
    """
    # Give each layer its own seed: equal seeds would draw equal weights.
    seeds = iter(range(100 * seed, 100 * seed + 100))

    def convolve(x: Any, maps: int, name: str, strides: int = 1) -> Any:
        x = keras.layers.Conv2D(
            maps,
            3,
            strides,
            padding="same",
            use_bias=False,  # Batch normalisation adds a bias.
            kernel_initializer=keras.initializers.HeNormal(seed=next(seeds)),
            name=f"convolution_{name}",
        )(x)
        x = keras.layers.BatchNormalization(momentum=0.9, name=f"normalisation_{name}")(x)
        return keras.layers.ReLU(name=f"relu_{name}")(x)

    images = keras.Input((resolution, resolution, channels), name="images")
    x, side = images, resolution
    while side > LAST_SIDE:
        side //= 2
        maps = max(MIN_MAPS, LAST_MAPS * LAST_SIDE // side)
        x = convolve(x, maps, f"{side}x{side}", strides=2)
    x = convolve(x, LAST_MAPS, f"{side}x{side}_again")
    features = keras.layers.GlobalAveragePooling2D(name="features")(x)
    initializer = keras.initializers.GlorotUniform(seed=next(seeds))
    logits = keras.layers.Dense(classes, kernel_initializer=initializer, name="logits")(features)
    return keras.Model(images, [features, logits], name="classifier")


def named_weights(model: keras.Model) -> dict[str, Any]:
    """Return the weights of a model by name, as `<layer>/<weight>`."""
    return {
        f"{layer.name}/{weight.name}": weight.numpy()
        for layer in model.layers
        for weight in layer.weights
    }


def scale_pixels(images: Any) -> Any:
    """Scale pixels from 0 … 255 to float32 in [-1, 1]."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def network_of(model: keras.Model, classes: tuple[str, ...]) -> FeatureNetwork:
    """Wrap a classifier's model as a feature network that resizes its images."""
    _, resolution, _, channels = model.input_shape

    @tf.function
    def predict(images: Any) -> Any:
        features, logits = model(box_or_nearest(scale_pixels(images), resolution), training=False)
        return features, tf.nn.softmax(logits)

    def forward(images: Images) -> Any:
        side, width = images.shape[1:3]
        if side != width or max(side, resolution) % min(side, resolution):
            raise UserError(
                f"images for a classifier of {resolution} px must be square, with a side that "
                f"divides {resolution} or is a multiple of it. Received: {side} by {width} px"
            )
        return predict(with_channels(images, channels, "this classifier"))

    protocol = {
        "resize": "mean of blocks, or nearest",
        "side": str(resolution),
        "layer": f"last {LAST_MAPS} maps, averaged",
    }
    weights = hash_of(named_weights(model))
    return FeatureNetwork("classifier", weights, protocol, forward, classes, BATCH)


def write_classifier(folder: Path, manifest: ClassifierManifest, weights: Arrays) -> None:
    """Write a classifier to a new folder, which appears complete or not at all.

    Raises:
        FileExistsError: if the folder exists.
    """
    with new_folder(folder) as temporary:
        write_file(temporary / WEIGHTS, npz_of(weights))
        write_file(temporary / MANIFEST, manifest.model_dump_json(indent=2) + "\n")


def read_manifest(folder: Path) -> ClassifierManifest:
    """Read the manifest in a classifier's folder.

    Raises:
        UserError: if the manifest is missing or damaged.
    """
    try:
        return ClassifierManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(
            f"`classifier:FOLDER` must be a folder that `growgan features train` wrote. "
            f"Received: {folder}, whose {MANIFEST} is missing or damaged"
        ) from error


def open_classifier(path: str) -> FeatureNetwork:
    """Open the classifier in a folder as a feature network.

    Raises:
        UserError: if the classifier is missing or damaged.
    """
    folder = Path(path).expanduser()
    manifest = read_manifest(folder)
    damaged = f"the weights of a classifier must be as written. Received: {folder / WEIGHTS}"
    try:
        weights = read_arrays(folder / WEIGHTS)
    except (OSError, ValueError) as error:
        raise UserError(f"{damaged} ({error})") from error
    # Refuse changed weights: scores record the hash in the manifest as the network's identity.
    if hash_of(weights) != manifest.weights_hash:
        raise UserError(f"{damaged}, with other content")
    try:
        model = classifier_model(manifest.resolution, manifest.channels, len(manifest.classes))
        model.set_weights([weights[name] for name in named_weights(model)])
    except (KeyError, ValueError) as error:
        raise UserError(f"{damaged}, which are not of the network in {MANIFEST}") from error
    return network_of(model, manifest.classes)
