"""What each choice of how a step is computed is worth, against the step as it is.

    python tests/benchmarks/bench_choices.py [--resolutions 32 64] [--width 64]

Every choice runs in a process of its own; they take turns, and ratios are medians over the turns:
1.2 says that the step takes 1.2 times as long that way.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from typing import Any

from bench_step import config_of, step_of
from taking_turns import Process, Step, median, processor, ratio, serve, turns_of

AS_IT_IS = "as it is"
CHOICES = (
    AS_IT_IS,
    "unfused resampling",
    "two passes of the discriminator",
    "all threads in an operation",
    "micro-batches of 8",
    "XLA",
    "mixed_bfloat16",
    "mixed_float16",
)


def make(choice: str, resolution: int, width: int) -> Step:
    """A step in float32 computed in one of the ways."""
    import tensorflow as tf

    from pipeline.training.synthesis import updates
    from pipeline.training.synthesis.updates import discriminate

    if choice != "all threads in an operation":
        tf.config.threading.set_intra_op_parallelism_threads(1)
    changes: dict[str, dict[str, Any]] = {
        "unfused resampling": {"network": {"fused": False}},
        "all threads in an operation": {"run": {"intra_op_threads": None}},
        "micro-batches of 8": {"run": {"micro_batch": 8}},
        "XLA": {"run": {"jit_compile": True}},
    }
    if choice == "two passes of the discriminator":
        updates.discriminate_both = lambda critic, reals, fakes, labels, _: (
            discriminate(critic, reals, labels),
            discriminate(critic, fakes, labels),
        )
    precision = choice if choice.startswith("mixed") else "float32"
    return step_of(config_of(precision, resolution, width, **changes.get(choice, {})))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolutions", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--choices", nargs="+", choices=CHOICES, default=CHOICES)
    parser.add_argument("--worker", choices=CHOICES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    if options.worker:
        serve(partial(make, options.worker))
        return

    processes = {
        choice: Process(__file__, choice) for choice in dict.fromkeys((AS_IT_IS, *options.choices))
    }
    print(f"{processor()}; float32, {options.width} maps")
    for resolution in options.resolutions:
        turns = turns_of(processes, resolution, options.width)
        print(f"{resolution} px: {median(turns, AS_IT_IS):.3f} s a step")
        for choice in processes:
            print(f"{choice:>33}{ratio(turns, choice, AS_IT_IS):>7.2f}", flush=True)
    for process in processes.values():
        process.close()


if __name__ == "__main__":
    main()
