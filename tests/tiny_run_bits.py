"""Train tiny runs of every kind, and write down the bits that came of them.

A change that is to leave all numbers as they are is held to what the code before it gives:

    git worktree add ../before HEAD~1
    (cd ../before && PYTHONPATH=$PWD python tests/tiny_run_bits.py /tmp/before)
    PYTHONPATH=$PWD python tests/tiny_run_bits.py /tmp/after
    diff /tmp/before/bits.json /tmp/after/bits.json

Bits are those of one machine. The runs stay in the folder: newer code must open and continue them.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

TIMES = ("seconds", "images_per_second", "data_wait", "time")
COMMON = {
    "data.labels": True,
    "data.mirror": True,
    "network.fmap_max": 8,
    "network.latent_size": 8,
    "schedule.resolution": 16,
    "schedule.batch_size": 8,
    "run.log_images": 8,
    "run.sample_images": 32,
    "run.checkpoint_images": 16,
    "alarms.throughput": "ignore",
    "alarms.starvation": "ignore",
}
GROWING = {
    **COMMON,
    "schedule.hold_images": "{4: 16, 8: 16, 16: 32}",
    "schedule.fade_images": 32,
}
STYLED = {
    "network.style_size": 8,
    "network.mapping_layers": 2,
    "objective.loss": "logistic",
    "objective.penalty": "none",
    "objective.r1": 1,
    "objective.drift": 0,
}
STYLEGAN = {**GROWING, **STYLED, "network.family": "stylegan", "network.mixing": 0.9}
STYLEGAN2 = {
    **COMMON,
    **STYLED,
    "network.family": "stylegan2",
    "schedule.start_resolution": 16,
    "schedule.hold_images": 64,
    "objective.penalty_every": 2,
    "objective.path_length": 2,
    "objective.path_length_every": 2,
    "augmentation.kind": "ada",
    "augmentation.rise_images": 256,
}
RUNS: dict[str, dict[str, Any]] = {
    "progan": GROWING,
    "stylegan": STYLEGAN,
    "stylegan2": STYLEGAN2,
    "progan-two-replicas": {**GROWING, "run.strategy": "mirrored", "run.replicas": 2},
    "progan-bfloat16": {**GROWING, "run.precision": "mixed_bfloat16"},
    "stylegan2-micro-batches": {**STYLEGAN2, "run.micro_batch": 4},
}


def bits_of_run(run: Path, drawn: Path) -> dict[str, Any]:
    """Hashes of everything that a run's numbers decide; times and paths are left out."""
    import tensorflow as tf

    found: dict[str, Any] = {"drawn": _hash(drawn.read_bytes())}
    for folder in sorted((run / "checkpoints").glob("images-*")):
        reader = tf.train.load_checkpoint(str(folder / "variables"))
        names = sorted(n for n in reader.get_variable_to_shape_map() if n.startswith("variables/"))
        found[folder.name] = {
            name.removeprefix("variables/").removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"): _hash(
                np.asarray(reader.get_tensor(name)).tobytes()
            )
            for name in names
        }
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found["metrics"] = [
        {name: value for name, value in line.items() if name not in TIMES} for line in lines
    ]
    found["sheets"] = {
        sheet.name: _hash(sheet.read_bytes()) for sheet in sorted((run / "samples").glob("*.png"))
    }
    for file in sorted((run / "savedmodels").rglob("golden.npz")):
        with np.load(file, allow_pickle=False) as golden:
            found[str(file.relative_to(run))] = {
                name: _hash(golden[name].tobytes())
                for name in sorted(golden.files)
                if golden[name].dtype.kind in "fiu"
            }
    return found


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def main(folder: Path) -> None:
    """Train every run below a new folder, and write `bits.json` there."""
    folder.mkdir(parents=True)
    bits = {}
    for name, settings in RUNS.items():
        print(name, flush=True)
        run, drawn = folder / name, folder / f"{name}.png"
        keys = {"data.records": folder / "records", **settings}
        words = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
        growgan = [sys.executable, "-m", "pipeline.cli"]
        train = [*growgan, "train", "--config", "quickstart", *words, "--out", str(run)]
        subprocess.run(train, check=True, stdout=subprocess.DEVNULL)
        draw = [*growgan, "generate", str(run), "--seeds", "0-5", "--out", str(drawn)]
        subprocess.run(draw, check=True, stdout=subprocess.DEVNULL)
        bits[name] = bits_of_run(run, drawn)
    (folder / "bits.json").write_text(json.dumps(bits, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
