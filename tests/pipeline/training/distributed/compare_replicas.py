"""Makes the same updates on one device and on two, and writes what came of them.

    python compare_replicas.py cases.json out.json [micro-batch]

A case is `[objective, optimizer]`. For each, both strategies start from the same weights and take
the same global batch, of which every replica has whole groups, and with a third argument the two
devices take theirs in micro-batches; Adam's epsilon is so large that
updates follow gradients in size. Written are metrics and the largest differences of weights.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

# Before the imports below: TensorFlow refuses to divide a CPU that it has used already.
CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * 2)

from pipeline.config import Config  # noqa: E402
from pipeline.training.distributed.replicas import share_of  # noqa: E402
from pipeline.training.synthesis.generation import LatentBatch  # noqa: E402
from pipeline.training.synthesis.inputs import CriticBatch, GeneratorBatch, PathBatch  # noqa: E402
from pipeline.training.synthesis.state import TrainingState  # noqa: E402
from pipeline.training.synthesis.updates import DiscriminatorUpdates, GeneratorUpdates  # noqa: E402

BATCH, SIZE, GROUP, LATENTS = 16, 4, 4, 8
UPDATES = 2


def config_of(
    objective: dict[str, Any], optimizer: dict[str, Any], micro_batch: int | None
) -> Config:
    return Config.model_validate(
        {
            "data": {"channels": 1},
            "network": {"fmap_max": 8, "latent_size": LATENTS, "stddev_group": GROUP},
            "objective": objective,
            "schedule": {"resolution": SIZE, "batch_size": BATCH, "learning_rate": 0.3},
            "optimizer": {"epsilon": 1.0, **optimizer},
            "run": {"micro_batch": micro_batch},
        }
    )


def normals(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def after_updates(config: Config, strategy: tf.distribute.Strategy) -> tuple[Any, ...]:
    phase = config.schedule.build().phases[0]
    models = TrainingState(config, label_size=0, strategy=strategy).models_for(phase)
    replicas = strategy.num_replicas_in_sync
    discriminator = DiscriminatorUpdates(config, phase, models, replicas)
    generator = GeneratorUpdates(config, models, replicas)

    def shared(values: Any) -> Any:
        return strategy.experimental_distribute_values_from_function(
            lambda context: share_of(
                tf.constant(values), context.replica_id_in_sync_group, replicas
            )
        )

    def replica(
        reals: Any, of_fakes: Any, weights: Any, moves: Any, latents: Any, noise: Any, paths: Any
    ) -> dict[str, Any]:
        labels = tf.zeros((reals.shape[0], 0))
        batch = CriticBatch(reals, LatentBatch(of_fakes), labels, weights, moves)
        path_batch = PathBatch(LatentBatch(paths), labels, noise)
        metrics = {}
        if discriminator.lazy:
            metrics |= discriminator.apply_penalties(batch)
        if generator.lazy:
            metrics |= generator.apply_path_length(path_batch)
        metrics |= discriminator.update(batch)
        return metrics | generator.update(
            GeneratorBatch(LatentBatch(latents), labels, reals), path_batch
        )

    inputs = tuple(
        shared(values)
        for values in (
            normals(0, BATCH, SIZE, SIZE, 1) + 0.5,
            normals(1, BATCH, LATENTS),
            np.abs(normals(2, BATCH, 1, 1, 1)) % 1,
            np.abs(normals(6, BATCH, 3)) % 1,
            normals(3, BATCH, LATENTS),
            normals(4, BATCH, SIZE, SIZE, 1),
            normals(5, BATCH, LATENTS),
        )
    )

    @tf.function(autograph=False)
    def step() -> dict[str, Any]:
        means = {
            name: strategy.reduce("MEAN", value, axis=None)
            for name, value in strategy.run(replica, args=inputs).items()
        }
        return {name: value for name, value in means.items() if value.shape.rank == 0}

    before = [*models.generator.get_weights(), *models.discriminator.get_weights()]
    for _ in range(UPDATES):
        metrics = step()
    weights = [*models.generator.get_weights(), *models.discriminator.get_weights()]
    if models.path_length_mean is not None:
        before.append(np.zeros(()))
        weights.append(models.path_length_mean.numpy())
    return before, weights, {name: float(value) for name, value in metrics.items()}


def main() -> None:
    cases, out = map(Path, sys.argv[1:3])
    micro_batch = int(sys.argv[3]) if len(sys.argv) > 3 else None
    ways = (
        (tf.distribute.OneDeviceStrategy("/cpu:0"), None),
        (tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]), micro_batch),
    )
    found = []
    for objective, optimizer in json.loads(cases.read_text()):
        (start, one, metrics), (_, two, other_metrics) = (
            after_updates(config_of(objective, optimizer, most), strategy)
            for strategy, most in ways
        )
        found.append(
            {
                "moved": max(np.abs(a - b).max() for a, b in zip(one, start, strict=True)),
                "apart": max(np.abs(a - b).max() for a, b in zip(one, two, strict=True)),
                "largest": [max(np.abs(w).max() for w in weights) for weights in (one, two)],
                "metrics": [metrics, other_metrics],
            }
        )
    out.write_text(json.dumps(found, default=float))


if __name__ == "__main__":
    main()
