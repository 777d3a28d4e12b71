"""Fréchet distance of a run's digits to MNIST on LeNet features.

    python tests/benchmarks/fid_mnist.py runs/mnist --mnist DIR --lenet lenet_mnist.npz [--all]

Protocol: 10,000 generated images of seeds 0 to 9,999, rounded to 8 bits, against the 60,000
training digits. The padding of 32 px images is cropped; 28 px are resized to 32 bilinearly with
half-pixel centres, in [0, 1]; features are the 84 values after LeNet's last tanh but one layer.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import scipy.linalg
import tensorflow as tf

from pipeline.data.sources import open_source
from pipeline.run_folder import RunFolder
from pipeline.training.checkpoints import all_in
from savedmodels.signatures import latents_of_seeds, to_uint8

GENERATED = 10_000
BATCH = 500


class LeNet:
    """Digits, uint8 `(batch, 28, 28, 1)`, to features `(batch, 84)`."""

    def __init__(self, path: Path) -> None:
        weights = np.load(path, allow_pickle=False)

        def layer(name: str) -> tuple[np.ndarray, np.ndarray]:
            return weights[f"{name}.weight"], weights[f"{name}.bias"]

        self._convs = [
            (kernel.transpose(2, 3, 1, 0), bias)
            for kernel, bias in map(layer, ("convnet.c1", "convnet.c3", "convnet.c5"))
        ]
        kernel, bias = layer("fc.f6")
        self._dense = kernel.T, bias

    def __call__(self, digits: Any) -> Any:
        x = tf.image.resize(tf.cast(digits, tf.float32) / 255.0, (32, 32), method="bilinear")
        for index, (kernel, bias) in enumerate(self._convs):
            x = tf.tanh(tf.nn.conv2d(x, kernel, 1, "VALID") + bias)
            if index < 2:
                x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        kernel, bias = self._dense
        return tf.tanh(tf.reshape(x, (len(digits), -1)) @ kernel + bias)


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance in float64."""
    features = features.astype(np.float64)
    return features.mean(axis=0), np.cov(features, rowvar=False)


def frechet(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> float:
    """`|m₁ - m₂|² + tr(C₁ + C₂ - 2 (C₁ C₂)^½)`."""
    (mean_1, cov_1), (mean_2, cov_2) = one, other
    root = scipy.linalg.sqrtm(cov_1 @ cov_2)
    return float(((mean_1 - mean_2) ** 2).sum() + np.trace(cov_1 + cov_2 - 2 * np.real(root)))


def features_of(lenet: LeNet, digits: np.ndarray) -> np.ndarray:
    parts = [lenet(digits[i : i + BATCH]).numpy() for i in range(0, len(digits), BATCH)]
    return np.concatenate(parts)


def source_digits(spec: Path) -> np.ndarray:
    pictures = [np.asarray(picture.read()) for picture in open_source(str(spec))]
    return np.stack(pictures)[..., None]


def generated_digits(run: RunFolder, checkpoint: Any) -> np.ndarray:
    model = run.average(checkpoint)
    call = tf.function(lambda latents: to_uint8(model(latents, training=False)))
    size = run.config().network.latent_size
    batches = [
        call(latents_of_seeds(range(start, start + BATCH), size)).numpy()
        for start in range(0, GENERATED, BATCH)
    ]
    return np.concatenate(batches)[:, 2:-2, 2:-2]


def main() -> None:
    """Print a table: one row a checkpoint, the newest or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--mnist", type=Path, required=True, help="folder of idx files")
    parser.add_argument("--lenet", type=Path, required=True, help="lenet_mnist.npz")
    parser.add_argument("--all", action="store_true", help="every 32 px checkpoint")
    options = parser.parse_args()

    lenet, run = LeNet(options.lenet), RunFolder(options.run)
    reference = moments(features_of(lenet, source_digits(options.mnist)))
    test = source_digits(options.mnist / "t10k-images-idx3-ubyte.gz")
    print(f"10,000 test digits score {frechet(reference, moments(features_of(lenet, test))):.3f}")
    print(f"{'images seen':>12} {'minutes':>8} {'FID':>8}")
    phases = run.config().schedule.build().phases
    saved = [c for c in all_in(run.path) if phases[c.position.phase].resolution == 32]
    for checkpoint in saved if options.all else saved[-1:]:
        score = frechet(reference, moments(features_of(lenet, generated_digits(run, checkpoint))))
        position = checkpoint.position
        print(f"{position.images_seen:>12} {position.seconds / 60:>8.1f} {score:>8.3f}", flush=True)


if __name__ == "__main__":
    main()
