"""In-domain classifier: a small convolutional network, and its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import keras
import tensorflow as tf
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import UserError
from pipeline.evaluation.features.arrays import Arrays, arrays_in, hash_of, npz_of
from pipeline.evaluation.features.network import FeatureNetwork, Images, with_channels
from pipeline.evaluation.features.resizing import box_or_nearest
from savedmodels.atomic import new_folder, write_file

MANIFEST, WEIGHTS = "manifest.json", "weights.npz"
SMALLEST = 8
LAST_SIDE, LAST_MAPS, FEWEST_MAPS = 4, 128, 8
BATCH = 128


class ClassifierManifest(BaseModel):
    """Content of a classifier's `manifest.json`."""

    model_config = ConfigDict(frozen=True)

    # Changes when the network, or the meaning of a field, does.
    format_version: Literal[1]
    classes: tuple[str, ...]
    resolution: int
    channels: Literal[1, 3]
    weights_hash: str
    """SHA-256, in hex, of the weights."""
    accuracy: float
    """Share of the held-out images that it classifies correctly."""
    held_out: int
    """Number of held-out images, which the accuracy was measured on."""
    trained_on: int
    """Number of images that it was trained on."""
    epochs: int
    seed: int
    source: str
    """Short name of the source of the images."""
    data_hash: str
    """SHA-256, in hex, of the prepared set."""
    growgan: str
    """Version of GrowGAN that trained it."""


def classifier_model(resolution: int, channels: int, classes: int, *, seed: int = 0) -> keras.Model:
    """Make a convolutional network that halves the resolution per stage, down to 4 px.

    A stage is a 3x3 convolution of stride 2, batch normalisation and a ReLU; a stage of stride 1
    follows the last. The last has 128 maps, and each one before it half as many, at least 8.
    Features are the means of the last 128 maps. The resolution is a power of two from 8.

    Call: float32 `(batch, resolution, resolution, channels)` in [-1, 1] → features `(batch, 128)`
    and logits `(batch, classes)`.
    """
    # A seed for each layer, because layers of one seed would draw the same numbers.
    initial = iter(range(100 * seed, 100 * seed + 100))

    def convolved(x: Any, maps: int, name: str, strides: int = 1) -> Any:
        x = keras.layers.Conv2D(
            maps,
            3,
            strides,
            padding="same",
            use_bias=False,  # The normalisation has one.
            kernel_initializer=keras.initializers.HeNormal(seed=next(initial)),
            name=f"convolution_{name}",
        )(x)
        x = keras.layers.BatchNormalization(momentum=0.9, name=f"normalisation_{name}")(x)
        return keras.layers.ReLU(name=f"relu_{name}")(x)

    images = keras.Input((resolution, resolution, channels), name="images")
    x, side = images, resolution
    while side > LAST_SIDE:
        side //= 2
        maps = max(FEWEST_MAPS, LAST_MAPS * LAST_SIDE // side)
        x = convolved(x, maps, f"{side}x{side}", strides=2)
    x = convolved(x, LAST_MAPS, f"{side}x{side}_again")
    features = keras.layers.GlobalAveragePooling2D(name="features")(x)
    initializer = keras.initializers.GlorotUniform(seed=next(initial))
    logits = keras.layers.Dense(classes, kernel_initializer=initializer, name="logits")(features)
    return keras.Model(images, [features, logits], name="classifier")


def named_weights(model: keras.Model) -> dict[str, Any]:
    """Return the weights by `<layer>/<weight>`."""
    return {
        f"{layer.name}/{weight.name}": weight.numpy()
        for layer in model.layers
        for weight in layer.weights
    }


def scaled(images: Any) -> Any:
    """Scale pixels 0 … 255 to float32 in [-1, 1]."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def network_of(model: keras.Model, classes: tuple[str, ...]) -> FeatureNetwork:
    """Make the feature network of a classifier's model."""
    _, resolution, _, channels = model.input_shape

    @tf.function
    def compiled(images: Any) -> Any:
        features, logits = model(box_or_nearest(scaled(images), resolution), training=False)
        return features, tf.nn.softmax(logits)

    def forward(images: Images) -> Any:
        side, width = images.shape[1:3]
        if side != width or max(side, resolution) % min(side, resolution):
            raise UserError(
                f"images for a classifier of {resolution} px must be square, with a side that "
                f"divides that or is a multiple of it. Received: {side} by {width} px"
            )
        return compiled(with_channels(images, channels, "this classifier"))

    protocol = {
        "resize": "mean of blocks, or nearest",
        "side": str(resolution),
        "layer": f"last {LAST_MAPS} maps, averaged",
    }
    weights = hash_of(named_weights(model))
    return FeatureNetwork("classifier", weights, protocol, forward, classes, BATCH)


def write_classifier(folder: Path, manifest: ClassifierManifest, weights: Arrays) -> None:
    """Write a classifier to a new folder; it appears complete or not at all.

    Raises:
        FileExistsError: if the folder exists.
    """
    with new_folder(folder) as temporary:
        write_file(temporary / WEIGHTS, npz_of(weights))
        write_file(temporary / MANIFEST, manifest.model_dump_json(indent=2) + "\n")


def read_manifest(folder: Path) -> ClassifierManifest:
    """Read the manifest in a classifier's folder.

    Raises:
        UserError: if there is none, or it is damaged.
    """
    try:
        return ClassifierManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(
            f"`classifier:FOLDER` must be a folder that `growgan features train` wrote. "
            f"Received: {folder}, whose {MANIFEST} is missing or damaged"
        ) from error


def open_classifier(path: str) -> FeatureNetwork:
    """Open the classifier in a folder.

    Raises:
        UserError: if there is none, or it is damaged.
    """
    folder = Path(path).expanduser()
    manifest = read_manifest(folder)
    damaged = f"the weights of a classifier must be as written. Received: {folder / WEIGHTS}"
    try:
        weights = arrays_in(folder / WEIGHTS)
    except (OSError, ValueError) as error:
        raise UserError(f"{damaged} ({error})") from error
    # Scores name the hash, so damaged weights must never give scores.
    if hash_of(weights) != manifest.weights_hash:
        raise UserError(f"{damaged}, with other content")
    try:
        model = classifier_model(manifest.resolution, manifest.channels, len(manifest.classes))
        model.set_weights([weights[name] for name in named_weights(model)])
    except (KeyError, ValueError) as error:
        raise UserError(f"{damaged}, which are not of the network in {MANIFEST}") from error
    return network_of(model, manifest.classes)
