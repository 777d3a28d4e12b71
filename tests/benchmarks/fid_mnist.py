"""Fréchet distance of a run's digits to MNIST on LeNet features.

    python tests/benchmarks/fid_mnist.py runs/mnist --mnist DIR --lenet lenet_mnist.npz [--all]

Protocol: 10,000 generated images of seeds 0 to 9,999, rounded to 8 bits, against the 60,000
training digits. Features are those of `lenet:FILE`: the padding of 32 px images is cropped; 28 px
are resized to 32 bilinearly with half-pixel centres, in [0, 1]; the 84 values after the last tanh.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from pipeline.data.sources import open_source
from pipeline.evaluation.features import open_features
from pipeline.evaluation.statistics.frechet import frechet_distance, moments
from pipeline.moments import Moments
from pipeline.run_folder import RunFolder
from pipeline.training.checkpoints import all_in
from savedmodels.signatures import latents_of_seeds, to_uint8

GENERATED = 10_000
BATCH = 500


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
    return np.concatenate(batches)


def main() -> None:
    """Print a table: one row a checkpoint, the newest or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--mnist", type=Path, required=True, help="folder of idx files")
    parser.add_argument("--lenet", type=Path, required=True, help="lenet_mnist.npz")
    parser.add_argument("--all", action="store_true", help="every 32 px checkpoint")
    options = parser.parse_args()

    lenet, run = open_features(f"lenet:{options.lenet}"), RunFolder(options.run)

    def moments_of(digits: np.ndarray) -> Moments:
        return moments([lenet(digits).vectors])

    reference = moments_of(source_digits(options.mnist))
    test = source_digits(options.mnist / "t10k-images-idx3-ubyte.gz")
    print(f"10,000 test digits score {frechet_distance(reference, moments_of(test)):.3f}")
    print(f"{'images seen':>12} {'minutes':>8} {'FID':>8}")
    phases = run.config().schedule.build().phases
    saved = [c for c in all_in(run.path) if phases[c.position.phase].resolution == 32]
    for checkpoint in saved if options.all else saved[-1:]:
        score = frechet_distance(reference, moments_of(generated_digits(run, checkpoint)))
        position = checkpoint.position
        print(f"{position.images_seen:>12} {position.seconds / 60:>8.1f} {score:>8.3f}", flush=True)


if __name__ == "__main__":
    main()
