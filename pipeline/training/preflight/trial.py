"""Trial of a phase: a few real steps in a process of their own, to measure memory and time."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import tensorflow as tf

from pipeline.config import Config
from pipeline.schedule import Phase
from pipeline.training.distributed.replicas import make_logical_devices, make_strategy
from pipeline.training.synthesis.state import TrainingState
from pipeline.training.synthesis.step import SynthesisStep


@dataclass(frozen=True)
class Trial:
    """Measured time and memory of a few steps of a phase."""

    first_seconds: float  # Seconds to build the phase and to trace, compile and run its first step
    step_seconds: float  # Median seconds of the later steps
    memory: int  # Peak memory of the process, or of the busiest GPU, in bytes


def run_trial(
    config: Config,
    phase: Phase,
    *,
    label_size: int,
    seconds: float = 0.0,
    prepare: Callable[[], None] | None = None,
) -> Trial | None:
    """Run two steps of a phase on random images, and more until `seconds` have passed.

    Returns:
        Measurements, or None if the process ran out of memory.
    """
    # Use a process of its own: its memory is freed, and running out of it ends only that process.
    # Spawn it: a fork would share what TensorFlow has started here. `prepare` runs before it
    # imports TensorFlow, because threads can be chosen only before TensorFlow's first use.
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=prepare) as pool:
        try:
            return pool.submit(_steps, config, phase, label_size, seconds).result()
        except (BrokenProcessPool, MemoryError, tf.errors.ResourceExhaustedError):
            return None


def _steps(config: Config, phase: Phase, label_size: int, seconds: float) -> Trial:
    make_logical_devices(config.run)
    strategy = make_strategy(config)
    started = time.perf_counter()
    state = TrainingState(config, label_size=label_size, strategy=strategy)
    step = SynthesisStep(config, phase, state.models_for(phase), strategy)
    critic_steps = config.objective.critic_steps
    batch = next(
        iter(strategy.experimental_distribute_dataset(_random_batch(config, phase, label_size)))
    )

    def time_step(number: int) -> float:
        start = time.perf_counter()
        images_seen = number * phase.batch_size * critic_steps
        # Reading a value waits for the device.
        float(step([batch] * critic_steps, images_seen, alpha=0.5)["generator_loss"])
        return time.perf_counter() - start

    time_step(0)  # At images_seen = 0 all lazy regularisers are due.
    first_seconds = time.perf_counter() - started
    times = [time_step(1)]
    while sum(times) < seconds:
        times.append(time_step(len(times) + 1))
    return Trial(first_seconds, statistics.median(times), _peak_memory())


def _random_batch(config: Config, phase: Phase, label_size: int) -> tf.data.Dataset:
    shape = (phase.batch_size, *phase.shape, config.data.channels)
    images = tf.random.stateless_uniform(shape, (0, 0), 0, 256, tf.int32)
    labels = tf.one_hot(tf.range(phase.batch_size) % max(label_size, 1), label_size)
    batch: dict[str, Any] = {"images": tf.cast(images, tf.uint8), "labels": labels}
    return tf.data.Dataset.from_tensors(batch)


def _peak_memory() -> int:
    gpus = [gpu.name.removeprefix("/device:") for gpu in tf.config.list_logical_devices("GPU")]
    if gpus:
        return max(tf.config.experimental.get_memory_info(gpu)["peak"] for gpu in gpus)
    # Do not use `getrusage`: its peak includes that of the parent process.
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024
