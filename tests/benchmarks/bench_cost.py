"""Seconds and peak memory of a step at many sizes, and the cost model that predicts both.

    python tests/benchmarks/bench_cost.py [--precisions float32 mixed_bfloat16] [--beyond]

Each row is a process of its own, as `growgan train --dry-run` makes one. The coefficients of
`pipeline/training/preflight/costs.py` are fitted to the rows up to 256 px and printed, with their
errors. With `--beyond`, 512 and 1024 px of the official widths are measured too, and predicted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls
from taking_turns import processor

from pipeline.cli.options import load_tensorflow
from pipeline.config import Config
from pipeline.training.preflight.costs import Work, works_of

SECONDS_A_ROW = 2.0
OFFICIAL = {"fmap_base": 8192, "fmap_max": 512, "latent_size": 512}


@dataclass(frozen=True)
class Row:
    """One size: a name for the widths, and the configuration of a single phase."""

    widths: str
    config: Config

    @property
    def size(self) -> int:
        return self.config.schedule.resolution

    @property
    def batch(self) -> int:
        return self.config.schedule.build().phases[-1].batch_size

    @property
    def work(self) -> Work:
        [work] = works_of(self.config, self.config.schedule.build().phases[-1:], 0)
        return work


def row(widths: str, network: dict[str, int], size: int, batch: int, precision: str) -> Row:
    schedule = {"resolution": size, "start_resolution": size, "batch_size": batch}
    run = {"precision": precision, "intra_op_threads": 1}
    return Row(
        widths, Config.model_validate({"network": network, "schedule": schedule, "run": run})
    )


def rows(precision: str, *, beyond: bool) -> list[Row]:
    found = []
    for width, largest in ((64, 256), (128, 256), (256, 64)):
        network = {"fmap_base": 2**20, "fmap_max": width, "latent_size": width}
        for size in (4, 8, 16, 32, 64, 128, 256):
            if size <= largest:
                batch = min(16, 1024 // size)
                found.append(row(str(width), network, size, batch, precision))
    # Other batches, which tell what a value takes from what a weight takes.
    for size, batch in ((32, 64), (64, 4), (128, 4)):
        network = {"fmap_base": 2**20, "fmap_max": 64, "latent_size": 64}
        found.append(row("64", network, size, batch, precision))
    official = {4: 16, 8: 16, 16: 16, 32: 8, 64: 4, 128: 4, 256: 4}
    if beyond:
        official |= {512: 2, 1024: 1}
    found += [row("official", OFFICIAL, size, batch, precision) for size, batch in official.items()]
    return found


def measured(each: Row) -> tuple[float, float, int]:
    """Seconds of the first step, of the others, and bytes."""
    from pipeline.training.preflight.trial import run_trial

    found = run_trial(
        each.config,
        each.config.schedule.build().phases[-1],
        label_size=0,
        seconds=SECONDS_A_ROW,
        prepare=partial(load_tensorflow, 1),
    )
    assert found is not None, f"no memory for {each}"
    return found.first_seconds, found.step_seconds, found.memory


def seconds_terms(each: Row) -> list[float]:
    work = each.work
    per_image = (work.multiplications, work.pass_values)
    return [1.0, work.blocks, sum(work.parameters), *(each.batch * term for term in per_image)]


def memory_terms(each: Row) -> list[float]:
    work = each.work
    return [1.0, work.blocks, sum(work.parameters), each.batch * work.values]


def fitted(terms: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    """Coefficients, none negative, with the least squared relative error."""
    matrix = np.asarray(terms, float) / np.asarray(values, float)[:, np.newaxis]
    scale = matrix.max(axis=0)
    solution, _ = nnls(matrix / scale, np.ones(len(matrix)))
    return [float(f"{value:.3g}") for value in solution / scale]


def predicted(coefficients: Sequence[float], terms: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(coefficients, terms, strict=True))


def report(precision: str, table: Sequence[tuple[Row, tuple[float, float, int]]]) -> None:
    """Print the rows beside what is predicted of them, and the coefficients."""
    known = [(each, found) for each, found in table if each.size <= 256]
    seconds = fitted([seconds_terms(e) for e, _ in known], [found[1] for _, found in known])
    memory = fitted([memory_terms(e) for e, _ in known], [found[2] for _, found in known])
    print(f"\n{precision}: Coefficients({tuple(seconds)}, {tuple(memory)})")
    print("| px | widths | batch | s / 1000 images | model | peak GiB | model | first step, s |")
    print("| --- " * 8 + "|")
    errors: dict[str, list[float]] = {"seconds": [], "memory": []}
    for each, (first, step, held) in table:
        off = predicted(seconds, seconds_terms(each)) / step - 1
        off_held = predicted(memory, memory_terms(each)) / held - 1
        if each.size <= 256:
            errors["seconds"].append(abs(off))
            errors["memory"].append(abs(off_held))
        thousand = 1000 * step / each.batch
        print(
            f"| {each.size} | {each.widths} | {each.batch} | "
            f"{thousand:.{0 if thousand >= 100 else 3}{'f' if thousand >= 100 else 'g'}} | "
            f"{off:+.0%} | {held / 2**30:.2f} | {off_held:+.0%} | {first:.1f} |"
        )
    for name, values in errors.items():
        print(f"error of {name}: median {statistics.median(values):.0%}, most {max(values):.0%}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precisions", nargs="+", default=["float32", "mixed_bfloat16"])
    parser.add_argument("--beyond", action="store_true", help="measure 512 and 1024 px too")
    parser.add_argument("--keep", type=Path, help="a file for what was measured, to go on from")
    options = parser.parse_args()
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    load_tensorflow()
    kept: dict[str, Any] = {}
    if options.keep and options.keep.exists():
        kept = json.loads(options.keep.read_text())
    print(processor())
    for precision in options.precisions:
        table = []
        for each in rows(precision, beyond=options.beyond):
            name = f"{precision} {each.widths} {each.size} {each.batch}"
            if name not in kept:
                kept[name] = measured(each)
                if options.keep:
                    options.keep.write_text(json.dumps(kept))
            table.append((each, tuple(kept[name])))
        report(precision, table)


if __name__ == "__main__":
    main()
