"""Peak memory and time of a training step, whole and in micro-batches.

    python tests/benchmarks/memory_of_micro_batches.py [--resolution 64] [--width 64] [--batch 32]

Each size runs in a process of its own. Memory is what the process's peak has grown by since its
models were made; a step is that of the preset objective, and of one with every regulariser.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

STEPS = 3
OBJECTIVES: dict[str, dict[str, Any]] = {
    "default": {},
    "relativistic, path length": {
        "loss": "relativistic_logistic",
        "path_length": 2.0,
        "path_length_every": 1,
    },
}


def peak() -> float:
    """The most memory that this process has had so far, in MiB."""
    # `getrusage` would begin with the peak of the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measure(
    objective: str, micro_batch: int | None, resolution: int, width: int, batch: int
) -> dict[str, float]:
    """Peak memory in MiB and seconds of a step."""
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)

    from pipeline.config import Config
    from pipeline.training.synthesis.state import TrainingState
    from pipeline.training.synthesis.step import SynthesisStep

    config = Config.model_validate(
        {
            "data": {"channels": 1},
            "network": {"fmap_base": 2**20, "fmap_max": width, "latent_size": width},
            "objective": OBJECTIVES[objective],
            "schedule": {
                "resolution": resolution,
                "start_resolution": resolution,
                "batch_size": batch,
            },
            "run": {"micro_batch": micro_batch, "intra_op_threads": 1},
        }
    )
    phase = config.schedule.build().phases[-1]
    strategy = tf.distribute.get_strategy()
    models = TrainingState(config, label_size=0, strategy=strategy).models_for(phase)
    step = SynthesisStep(config, phase, models, strategy)
    shape = (batch, resolution, resolution, 1)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    taken = [{"images": tf.constant(images), "labels": tf.zeros((batch, 0))}]
    before = peak()
    seconds = []
    for number in range(STEPS):
        start = time.perf_counter()
        float(step(taken, number * batch, 1.0)["critic_loss"])
        seconds.append(time.perf_counter() - start)
    return {"mebibytes": peak() - before, "seconds": min(seconds[1:])}


def in_process(*arguments: Any) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--measure", json.dumps(arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(result.stderr)
    found: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*json.loads(options.measure))))
        return
    print(f"{'objective':<28}{'micro-batch':>12}{'MiB':>8}{'s a step':>10}")
    for objective in OBJECTIVES:
        for micro_batch in (None, 16, 8, 4):
            sizes = (options.resolution, options.width, options.batch)
            found = in_process(objective, micro_batch, *sizes)
            print(
                f"{objective:<28}{micro_batch or 'whole':>12}"
                f"{found['mebibytes']:>8.0f}{found['seconds']:>10.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
