"""What a run spends beside its steps: growing, logging, sampling, saving and exporting.

    python tests/benchmarks/bench_loop.py [--width 64] [--precision mixed_bfloat16]

A short run on built-in glyphs holds 32 px, fades 64 px in, and holds it, with every listener of the
command line. A growth switch is the time from the end of the last step of a phase to the end of the
first of the next: new models, data, tracing, that step, and nothing that listeners do. Shares are
those of a long run at 64 px that logs, samples and saves as often as `progan-mnist32` does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

STEPS_A_PHASE = 40
BATCH = 16
LOG, SAMPLE, SAVE = 2_000, 20_000, 10_000
"""Images between two of each, as in `progan-mnist32`."""


def config_of(folder: Path, width: int, precision: str) -> Any:
    from pipeline.config import Config

    images = STEPS_A_PHASE * BATCH
    return Config.model_validate(
        {
            "data": {"source": "glyphs:64", "channels": 1, "records": folder / "records"},
            "network": {"fmap_base": 2**20, "fmap_max": width, "latent_size": width},
            "schedule": {
                "resolution": 64,
                "start_resolution": 32,
                "batch_size": BATCH,
                "hold_images": images,
                "fade_images": images,
            },
            "run": {
                "precision": precision,
                "intra_op_threads": 1,
                "log_images": images // 8,
                "sample_images": images // 2,
                "checkpoint_images": images // 2,
            },
        }
    )


def timeline(folder: Path, config: Any) -> tuple[list[tuple[str, str, float]], float]:
    """Events of a run, before its listeners heard of each and after; and the last `data_wait`."""
    import tensorflow as tf
    from rich.console import Console

    from pipeline.cli.training_display import TrainingDisplay
    from pipeline.data.prepare import records_for
    from pipeline.training.loop.listeners import Listener
    from pipeline.training.loop.recorders import (
        JsonLines,
        SampleSheets,
        StageExports,
        TensorBoard,
    )
    from pipeline.training.loop.trainer import Trainer
    from pipeline.training.synthesis.task import Synthesis

    events: list[tuple[str, str, float]] = []
    waits: list[float] = []

    class Waits(Listener):
        def logged(self, moment: Any) -> None:
            waits.append(moment.data_wait)

    def mark(place: str) -> Listener:
        listener = Listener()
        for name in vars(Listener):
            if not name.startswith("_"):
                note = partial(lambda event, *_: events.append((place, event, time.time())), name)
                setattr(listener, name, note)
        return listener

    records = records_for(config.data, config.schedule.build().resolutions)
    listeners = [
        TrainingDisplay(Console(file=sys.stderr, quiet=True), config),
        JsonLines(folder / "metrics.jsonl"),
        SampleSheets(folder / "samples", config.schedule.resolution),
        TensorBoard(folder / "tensorboard", config),
        StageExports(folder / "savedmodels", lambda _: {}, lambda _: None, lambda _: None),
    ]
    marked = [mark("before"), *listeners, mark("after"), Waits()]
    strategy = tf.distribute.get_strategy()
    Trainer(config, Synthesis(config, records, strategy), folder, marked, strategy).train()
    return events, statistics.median(waits)


def durations(events: list[tuple[str, str, float]]) -> dict[str, list[float]]:
    """Seconds of each step, growth switch, checkpoint, and event of the listeners."""
    found: dict[str, list[float]] = defaultdict(list)
    growing = 0.0
    begun = False
    for (_, _, start), (place, event, end) in pairwise(events):
        if place == "after":
            found[event].append(end - start)
            begun |= event == "phase_started"
        elif event == "saved":
            found["checkpoint"].append(end - start)
        elif event in ("logged", "sampled"):
            found["watched"].append(end - start)
        elif event == "phase_started":
            growing = end - start
        elif event == "stepped":
            found["growth" if begun else "step"].append(end - start + growing)
            growing, begun = 0.0, False
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--precision", default="mixed_bfloat16")
    options = parser.parse_args()
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    from pipeline.cli.options import load_tensorflow

    load_tensorflow(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = config_of(folder, options.width, options.precision)
        events, wait = timeline(folder, config)
    found = durations(events)

    first, *switches = found["growth"]
    print(f"{os.cpu_count()} cores, {options.precision}, {options.width} maps, batch {BATCH}")
    step = statistics.median(found["step"][-STEPS_A_PHASE // 2 :])
    print(f"a step at 64 px: {step:.3f} s; the first of the run: {first:.1f} s")
    print(f"share of the time that was spent waiting for batches: {wait:.2%}")
    for name, seconds in zip(("fade_64x64", "hold_64x64"), switches, strict=True):
        print(f"growth switch to {name}: {seconds:.1f} s")
    print(f"{'':>12}{'s each':>9}{'images':>8}{'share':>8}")
    # Diversity is measured with each sheet; between other entries alarms cost next to nothing.
    found["watched"] = [sum(found["watched"]) / len(found["sampled"])]
    for name, every in (
        ("logged", LOG),
        ("sampled", SAMPLE),
        ("watched", SAMPLE),
        ("checkpoint", SAVE),
    ):
        seconds = statistics.median(found[name])
        share = seconds / (every / BATCH * step)
        print(f"{name:>12}{seconds:>9.3f}{every:>8}{share:>8.2%}")
    print(f"{'stage_ended':>12}{statistics.median(found['stage_ended']):>9.3f}")


if __name__ == "__main__":
    main()
