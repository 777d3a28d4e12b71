"""Images per second of the full training step, against the machine's peak and plain PyTorch.

    python tests/benchmarks/bench_step.py [--resolutions 8 16 32 64] [--widths 64 128 256]

Every system runs in a process of its own; they take turns, and ratios are medians over the turns.
The share of the peak counts only the multiplications that the algorithm needs in its fused form.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from taking_turns import TURNS, Process, median, processor, ratio, serve, turns_of

BATCH = 16
THREADS = 1
"""In an operation, as the presets for few cores have it."""
PEAK_WIDTH = 256
SYSTEMS = ("torch", "float32", "mixed_bfloat16")


def config_of(precision: str, resolution: int, width: int, **sections: dict[str, Any]) -> Any:
    """Return a configuration of a single phase: grey images, `width` maps at every resolution."""
    from pipeline.config import Config

    network = {"fmap_base": 2**20, "fmap_max": width, "latent_size": width}
    schedule = {"resolution": resolution, "start_resolution": resolution, "batch_size": BATCH}
    run = {"precision": precision, "intra_op_threads": THREADS}
    return Config.model_validate(
        {
            "data": {"channels": 1},
            "network": network | sections.get("network", {}),
            "schedule": schedule,
            "run": run | sections.get("run", {}),
        }
    )


def compiled_step(config: Any) -> tuple[Any, dict[str, Any]]:
    """Our step of a phase, and a random batch for it."""
    import numpy as np
    import tensorflow as tf

    from pipeline.training.synthesis.state import TrainingState
    from pipeline.training.synthesis.step import SynthesisStep

    phase = config.schedule.build().phases[-1]
    strategy = tf.distribute.get_strategy()
    models = TrainingState(config, label_size=0, strategy=strategy).models_for(phase)
    shape = (BATCH, phase.resolution, phase.resolution, 1)
    batch = {
        "images": tf.constant(np.random.default_rng(0).integers(0, 256, shape, np.uint8)),
        "labels": tf.zeros((BATCH, 0)),
    }
    return SynthesisStep(config, phase, models, strategy), batch


def step_of(config: Any) -> Callable[[], Any]:
    """One full step of ours on random images."""
    step, batch = compiled_step(config)
    return lambda: float(step([batch], images_seen=0, alpha=1.0)["critic_loss"])


def our_step(precision: str, resolution: int, width: int) -> Callable[[], Any]:
    """The step in the threads that the presets for few cores have."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    return step_of(config_of(precision, resolution, width))


def peak_step(precision: str) -> Callable[[], Any]:
    """A plain 3×3 convolution at a size that keeps the machine busy."""
    import tensorflow as tf

    dtype = tf.bfloat16 if precision == "mixed_bfloat16" else tf.float32
    x = tf.cast(tf.random.stateless_normal((BATCH, 32, 32, PEAK_WIDTH), (0, 0)), dtype)
    kernel = tf.cast(tf.random.stateless_normal((3, 3, PEAK_WIDTH, PEAK_WIDTH), (0, 1)), dtype)
    call = tf.function(lambda: tf.reduce_sum(tf.nn.conv2d(x, kernel, 1, "SAME")[:, 0, 0, 0]))
    return lambda: float(call())


def gflop_of_step(resolution: int, width: int) -> float:
    """Multiplications and additions that one step cannot do without."""
    from pipeline.training.preflight.costs import works_of

    config = config_of("float32", resolution, width)
    phase = config.schedule.build().phases[-1]
    [work] = works_of(config, [phase], label_size=0)
    return 2e-9 * BATCH * work.multiplications


def make(system: str, resolution: int, width: int) -> Callable[[], Any]:
    if resolution == 0:
        return peak_step(system)
    if system == "torch":
        import plain_progan

        return plain_progan.make_step(resolution, width)
    return our_step(system, resolution, width)


def measured_peak(system: str) -> float:
    """GFLOP/s of the plain convolution at its best, with every core on it."""
    process = Process(__file__, system)
    seconds = min(process.seconds(0, 0) for _ in range(TURNS))
    process.close()
    return 2e-9 * BATCH * 32**2 * 9 * PEAK_WIDTH**2 / seconds


def rate(seconds: float) -> str:
    """Images per second, to a few digits."""
    images = BATCH / seconds
    return f"{images:.0f}" if images >= 100 else f"{images:.3g}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolutions", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--worker", choices=SYSTEMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    if options.worker:
        serve(partial(make, options.worker))
        return

    peaks = {system: measured_peak(system) for system in SYSTEMS[1:]}
    processes = {system: Process(__file__, system) for system in SYSTEMS}
    print(f"{processor()}; batch {BATCH}; medians of {TURNS} turns")
    for system, peak in peaks.items():
        print(f"convolution peak, {system}: {peak:.0f} GFLOP/s")
    print(
        f"{'px':>4}{'width':>6} {'precision':>15}{'img/s':>9}{'of peak':>9}{'torch img/s':>13}"
        f"{'ratio':>7}"
    )
    for width in options.widths:
        for resolution in options.resolutions:
            turns = turns_of(processes, resolution, width)
            for system in SYSTEMS[1:]:
                seconds = median(turns, system)
                share = gflop_of_step(resolution, width) / seconds / peaks[system]
                print(
                    f"{resolution:>4}{width:>6} {system:>15}{rate(seconds):>9}{share:>9.0%}"
                    f"{rate(median(turns, 'torch')):>13}{ratio(turns, 'torch', system):>7.2f}",
                    flush=True,
                )
    for process in processes.values():
        process.close()


if __name__ == "__main__":
    main()
