"""Feature network `lenet:FILE`: LeNet for MNIST digits, from weights in an npz file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from pipeline.errors import UserError
from pipeline.evaluation.features.arrays import Arrays, hash_of, read_arrays
from pipeline.evaluation.features.network import FeatureNetwork, Images, with_channels

DIGIT_SIDE, PADDED_SIDE = 28, 32  # Sides in pixels of an MNIST digit, and of one that is padded.
BATCH = 500
SHAPES = {
    "convnet.c1": (6, 1, 5, 5),
    "convnet.c3": (16, 6, 5, 5),
    "convnet.c5": (120, 16, 5, 5),
    "fc.f6": (84, 120),
    "fc.f7": (10, 84),
}
"""Shapes of kernels `(out, in, height, width)` and matrices `(out, in)`."""
PROTOCOL = {
    "resize": "28 px to 32 bilinear, centres kept; 32 px cropped to 28 before",
    "layer": "84 values after the last hyperbolic tangent",
}


def open_lenet(path: str) -> FeatureNetwork:
    """Open a LeNet of 3 convolutions and 2 dense layers, such as the file `lenet_mnist.npz`.

    Raises:
        UserError: if the file is missing, or its arrays have other names or shapes.
    """
    file = Path(path).expanduser()
    wanted = {f"{layer}.weight": shape for layer, shape in SHAPES.items()}
    wanted |= {f"{layer}.bias": shape[:1] for layer, shape in SHAPES.items()}
    try:
        found = read_arrays(file)
        weights = {name: found[name] for name in wanted}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"`lenet:FILE` needs an npz file of the arrays {', '.join(wanted)}. "
            f"Received: {path or 'no file'} ({error})"
        ) from error
    for name, shape in wanted.items():
        if weights[name].shape != shape:
            raise UserError(
                f"`{name}` of `lenet:FILE` must have the shape {shape}. "
                f"Received: {weights[name].shape} in {file}"
            )
    predict = _make_predict(weights)

    def forward(images: Images) -> Any:
        side, width = images.shape[1:3]
        if side != width or side not in (DIGIT_SIDE, PADDED_SIDE):
            raise UserError(
                f"images for lenet must have {DIGIT_SIDE} or {PADDED_SIDE} px on both sides. "
                f"Received: {side} by {width} px"
            )
        # Crop images of 32 px to 28: their border is padding around the digit.
        border = (side - DIGIT_SIDE) // 2
        digits = images[:, border : side - border, border : side - border]
        return predict(with_channels(digits, 1, "lenet"))

    classes = tuple(map(str, range(10)))
    return FeatureNetwork("lenet", hash_of(weights), PROTOCOL, forward, classes, BATCH)


def _make_predict(weights: Arrays) -> Any:
    convolutions = [
        # Transpose from (out, in, height, width) in the file to (height, width, in, out).
        (weights[f"{layer}.weight"].transpose(2, 3, 1, 0), weights[f"{layer}.bias"])
        for layer in ("convnet.c1", "convnet.c3", "convnet.c5")
    ]

    @tf.function
    def predict(digits: Any) -> tuple[Any, Any]:
        size = (PADDED_SIDE, PADDED_SIDE)
        x = tf.image.resize(tf.cast(digits, tf.float32) / 255.0, size, method="bilinear")
        for index, (kernel, bias) in enumerate(convolutions):
            x = tf.tanh(tf.nn.conv2d(x, kernel, 1, "VALID") + bias)
            if index < 2:
                x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        x = tf.reshape(x, (len(digits), -1))
        features = tf.tanh(x @ weights["fc.f6.weight"].T + weights["fc.f6.bias"])
        logits = features @ weights["fc.f7.weight"].T + weights["fc.f7.bias"]
        return features, tf.nn.softmax(logits)

    return predict
