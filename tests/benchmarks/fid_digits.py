"""Fréchet distance to the digits, before and after a short run, for every objective.

    python tests/benchmarks/fid_digits.py [NAME …] [--images 16000] [--out records-and-runs/]

Protocol: 1,797 images of the average generator, of seeds 0 to 1,796, against the 1,797 digits that
it trained on. Images of 16 px are rounded to 8 bits and averaged to the 8 px that the digits have;
features are those 64 pixels in [0, 1], and FID = |m₁ - m₂|² + tr(C₁ + C₂ - 2 (C₁ C₂)^½). "Before"
is the average generator at its first weights. Every run has the same seed, network and schedule;
what differs is below.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from pipeline.config import Config
from pipeline.evaluation.statistics.frechet import fid_of, moments

COUNT = 1797
IMAGES = 16_000
SIZE, DIGIT_SIZE = 16, 8

NO_PENALTY = {"penalty": "none", "drift": 0.0}
R1 = {**NO_PENALTY, "r1": 1.0}
RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "wasserstein, two-sided": {},
    "wasserstein, one-sided": {"objective": {"penalty": "one_sided"}},
    "wasserstein, zero-centred": {"objective": {"penalty": "zero_centred", "penalty_weight": 1.0}},
    "wasserstein, clipped weights": {
        "objective": {"penalty": "none", "weight_clip": 2.0},
    },
    "logistic, R1": {"objective": {"loss": "logistic", **R1}},
    "logistic, R1 every 16": {"objective": {"loss": "logistic", **R1, "penalty_every": 16}},
    "logistic, R2": {"objective": {"loss": "logistic", **NO_PENALTY, "r2": 1.0}},
    "minimax, R1": {"objective": {"loss": "minimax", **R1}},
    "least squares, R1": {"objective": {"loss": "least_squares", **R1}},
    "hinge, R1": {"objective": {"loss": "hinge", **R1}},
    "hinge, consistency": {"objective": {"loss": "hinge", **R1, "consistency": 1.0}},
    "relativistic logistic, R1": {"objective": {"loss": "relativistic_logistic", **R1}},
    "relativistic least squares, R1": {"objective": {"loss": "relativistic_least_squares", **R1}},
    "relativistic hinge, R1": {"objective": {"loss": "relativistic_hinge", **R1}},
    "logistic, R1, path length": {"objective": {"loss": "logistic", **R1, "path_length": 2.0}},
    "logistic, R1, orthogonal": {
        "objective": {
            "loss": "logistic",
            **R1,
            "orthogonal_generator": 1e-4,
            "orthogonal_discriminator": 1e-4,
        }
    },
    "wasserstein, 2 critic steps": {"objective": {"critic_steps": 2}},
    "logistic, R1, 2 generator steps": {
        "objective": {"loss": "logistic", **R1, "generator_steps": 2}
    },
    "logistic, R1, rate × 2": {
        "objective": {"loss": "logistic", **R1},
        "optimizer": {"discriminator_rate_factor": 2.0},
    },
    "logistic, R1, clipped gradients": {
        "objective": {"loss": "logistic", **R1},
        "optimizer": {"clip_norm": 1.0},
    },
}
"""What each run changes of the configuration below."""


def config_of(name: str, records: Path, images: int) -> Config:
    """The configuration of a recipe that sees so many images."""
    recipe = RECIPES[name]
    return Config.model_validate(
        {
            "data": {"source": "digits", "channels": 1, "records": records},
            "network": {"latent_size": 32, "fmap_base": 512, "fmap_max": 32},
            "schedule": {
                "resolution": SIZE,
                "start_resolution": 8,
                "hold_images": {8: images // 4, 16: images // 2},
                "fade_images": images // 4,
                "batch_size": 16,
                "learning_rate": 0.002,
            },
            "run": {"intra_op_threads": 1, "checkpoint_images": 1_000_000},
            "objective": recipe.get("objective", {}),
            "optimizer": {"average_half_life": 1000, **recipe.get("optimizer", {})},
        }
    )


def pixels_of(images: np.ndarray) -> np.ndarray:
    """The pixels of uint8 `(count, 16, 16, 1)`, averaged to 8 px: `(count, 64)`."""
    step = SIZE // DIGIT_SIZE
    pixels = images.reshape(len(images), DIGIT_SIZE, step, DIGIT_SIZE, step) / 255.0
    return pixels.mean(axis=(2, 4)).reshape(len(images), -1)


def before_and_after(name: str, folder: Path, images: int) -> tuple[float, float]:
    """The distances of a recipe's first and last average generator."""
    import tensorflow as tf

    from pipeline.data.dataset import images_of
    from pipeline.data.prepare import records_for
    from pipeline.sampling.latents import latents_of_seeds
    from pipeline.training.loop.listeners import Listener, Moment
    from pipeline.training.loop.trainer import Trainer
    from pipeline.training.synthesis.state import TrainingState
    from pipeline.training.synthesis.task import Synthesis
    from savedmodels.seeds import to_uint8

    config = config_of(name, folder / "records", images)
    schedule = config.schedule.build()
    records = records_for(config.data, schedule.resolutions)
    digits = np.stack([one["image"] for one in images_of(records, SIZE).as_numpy_iterator()])
    reference = moments([pixels_of(digits)])
    latents = latents_of_seeds(range(COUNT), config.network.latent_size)

    def score(average: Any) -> float:
        images = to_uint8(average(latents, training=False)).numpy()
        return fid_of(reference, moments([pixels_of(images)]))

    class Last(Listener):
        score = float("nan")

        def sampled(self, moment: Moment) -> None:
            if moment.images_seen >= schedule.total_images:
                self.score = score(moment.task.models.average)

    strategy = tf.distribute.get_strategy()
    state = TrainingState(config, label_size=0, strategy=strategy)
    before = score(state.models_for(schedule.phases[-1]).average)
    last = Last()
    with tempfile.TemporaryDirectory(dir=folder) as run:
        Trainer(config, Synthesis(config, records, strategy), Path(run), [last], strategy).train()
    return before, last.score


def main() -> None:
    """Print a table, a row an objective."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="of the objectives, or all")
    parser.add_argument("--images", type=int, default=IMAGES, help="that a run sees")
    parser.add_argument("--out", type=Path, help="folder that is kept, for prepared images")
    options = parser.parse_args()
    if unknown := set(options.names) - set(RECIPES):
        sys.exit(f"NAME must be one of {', '.join(RECIPES)}. Received: {', '.join(unknown)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{'objective':<34}{'FID before':>11}{'FID after':>11}", flush=True)
        for name in options.names or RECIPES:
            before, after = before_and_after(name, folder, options.images)
            print(f"{name:<34}{before:>11.3f}{after:>11.3f}", flush=True)


if __name__ == "__main__":
    main()
