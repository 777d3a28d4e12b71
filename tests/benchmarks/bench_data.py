"""Pictures per second of preparing a set, and images per second of reading it.

    python tests/benchmarks/bench_data.py [--source SOURCE] [--resolutions 32 64 128 256]

Reading is measured in turns against the records decoded and nothing else, and compared with what
training consumes at that resolution.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from bench_step import our_step
from taking_turns import processor

from pipeline.config import DataConfig
from pipeline.data.dataset import dataset_for, images_of
from pipeline.data.preparation import resolutions_to
from pipeline.data.prepare import prepare
from pipeline.data.records import RecordSet
from pipeline.schedule import Phase
from pipeline.training.synthesis.inputs import fade_reals, normalize_images

BATCH = 16
TURNS = 3
SECONDS_A_TURN = 1.0
TRAINING_WIDTH = 64
"""Feature maps of the network whose training is compared: the quickest of the speed table."""


def rate_of(batches: Iterator[Any], images_each: int) -> float:
    """Images per second of an endless stream, after its start."""
    for _ in range(3):
        next(batches)
    start, images = time.perf_counter(), 0
    while (passed := time.perf_counter() - start) < SECONDS_A_TURN:
        next(batches)
        images += images_each
    return images / passed


def measure(systems: dict[str, Callable[[], float]]) -> dict[str, float]:
    """The median rate of each, taking turns."""
    turns = [{name: system() for name, system in systems.items()} for _ in range(TURNS)]
    return {name: statistics.median(turn[name] for turn in turns) for name in systems}


def reading(records: RecordSet, resolution: int) -> dict[str, Callable[[], float]]:
    """What is compared at one resolution."""
    phase = Phase(resolution, True, 1, BATCH, 0.001)

    def batches(**options: Any) -> tf.data.Dataset:
        return dataset_for(
            records, phase, images_seen=0, seed=0, mirror=True, labels=False, **options
        )

    def decode_only() -> float:
        plain = images_of(records, resolution).batch(BATCH, drop_remainder=True).repeat()
        return rate_of(iter(plain), BATCH)

    alpha = tf.constant(0.5)

    @tf.function
    def faded_on_device(batch: Any) -> Any:
        return fade_reals(normalize_images(batch["images"]), alpha)

    def fade_in_pipeline(batch: Any) -> Any:
        return fade_reals(normalize_images(batch["images"]), alpha)

    return {
        "decode": decode_only,
        "batches": lambda: rate_of(iter(batches()), BATCH),
        "cached": lambda: rate_of(iter(batches(cache=True)), BATCH),
        "fade on device": lambda: rate_of(map(faded_on_device, iter(batches())), BATCH),
        "fade in pipeline": lambda: rate_of(
            iter(batches().map(fade_in_pipeline, num_parallel_calls=tf.data.AUTOTUNE)), BATCH
        ),
    }


def training_rate(resolution: int) -> float:
    """Images per second that training consumes in bfloat16, faster than in float32."""
    step = our_step("mixed_bfloat16", resolution, TRAINING_WIDTH)
    step()
    step()
    times = []
    for _ in range(TURNS):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return BATCH / statistics.median(times)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="glyphs:256x2000")
    parser.add_argument("--resolutions", type=int, nargs="+", default=[32, 64, 128, 256])
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    tf.config.threading.set_intra_op_parallelism_threads(1)
    print(f"{processor()}; {options.source}; medians of {TURNS} turns")
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'px':>4}{'pictures/s':>12}{'1 process':>11}{'per core':>10}")
        for resolution in options.resolutions:
            rates = []
            for workers in (cores, 1):
                data = DataConfig(source=options.source, workers=workers)
                out = Path(folder, f"{resolution}-{workers}")
                start = time.perf_counter()
                records = prepare(data, resolutions_to(resolution), out)
                rates.append(records.count / (time.perf_counter() - start))
            print(f"{resolution:>4}{rates[0]:>12.0f}{rates[1]:>11.0f}{rates[0] / cores:>10.0f}")
        names = ("decode", "batches", "cached", "fade on device", "fade in pipeline")
        print(f"{'px':>4}" + "".join(f"{name:>18}" for name in names) + f"{'training':>10}{'×':>7}")
        for resolution in records.resolutions:
            rates_of = measure(reading(records, resolution))
            training = training_rate(resolution)
            print(
                f"{resolution:>4}"
                + "".join(f"{rates_of[name]:>18.0f}" for name in names)
                + f"{training:>10.1f}{rates_of['batches'] / training:>7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
