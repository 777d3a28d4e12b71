"""Training steps: one for each stage (image size), and one to check that training is complete."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.orchestration.commands import Log
from pipeline.orchestration.kubernetes.job import name_of
from pipeline.orchestration.plan import Plan, run_behind
from pipeline.orchestration.runs.failure import StepFailed
from pipeline.orchestration.steps.step import Done, StepCheck, run_growgan, write_config
from pipeline.shape import Shape, shape_name


def stage(plan: Plan, shape: Shape, log: Log, former: int | None) -> Done:
    """Train to the end of a stage, which writes a checkpoint and a SavedModel.

    Raises:
        StepFailed: if the training fails, or does not write both.
    """
    new = _stage_end(plan, shape) is None
    if new:
        words = ["--config", str(write_config(plan)), "--out", str(plan.run.path)]
        words += ["--resume", "auto"]
        # Take first weights only for a new training: an existing one resumes from its checkpoint.
        if not plan.run.exists():
            words += _first_weights(plan, former, log)
        words += ["--until-resolution", str(shape[0])]
        run_growgan(plan, log, *_training_command(plan, words))
    end = _stage_end(plan, shape)
    if end is None:
        raise StepFailed(
            f"a stage must leave a checkpoint and a SavedModel. Received: none of {shape[0]} px "
            f"in {plan.run.path}",
            may_pass=True,
        )
    entries = [entry for entry in _entries(plan) if entry.get("resolution") == shape[0]]
    sheets = [sheet for sheet in sorted(plan.run.samples.glob("*.png")) if _images_of(sheet) <= end]
    speeds = [entry["images_per_second"] for entry in entries if entry["images_per_second"]]
    return Done(
        {
            "images seen": end,
            "images per second": round(sum(speeds) / len(speeds), 1) if speeds else math.nan,
        },
        new,
        pictures=tuple(sheets[-1:]),
        files={"SavedModel": plan.run.savedmodels / shape_name(shape) / str(end)},
    )


def trained_model(plan: Plan, log: Log) -> Done:
    """Check that the training has reached its last image, and report its alarms.

    Raises:
        StepFailed: if it has not.
    """
    total = plan.config.schedule.build().total_images
    seen = max(map(_images_of, _checkpoints(plan)), default=0)
    if seen != total:
        raise StepFailed(
            f"a model must be trained to its end, {total} images. Received: {plan.run.path}, with "
            f"a checkpoint at {seen}"
        )
    alarms = dict.fromkeys(entry["alarm"] for entry in _entries(plan) if "alarm" in entry)
    names = ", ".join(alarms) or "none"
    manifest = plan.run.manifest() if plan.run.exists() else {}
    return Done(
        {
            "images seen": seen,
            "of": total,
            "seconds": round(float(manifest.get("seconds", math.nan)), 1),
            "alarms": names,
        },
        new=False,
        files={"run": plan.run.path},
        checks={"alarms": StepCheck(not alarms, f"alarms while it trained: {names}")},
    )


def _first_weights(plan: Plan, promoted: int | None, log: Log) -> list[str]:
    """Return the option `--from` with the promoted version's training if `warm_start` is set."""
    if promoted is None or not plan.project.config.training.warm_start:
        return []
    run = run_behind(plan.project, promoted)
    if run is None:
        log(f"the run behind version {promoted} is not in this project: no weights to start from")
        return []
    return ["--from", str(run.path)]


def _training_command(plan: Plan, words: list[str]) -> list[str]:
    """Return the command that trains on this machine, or runs a training Job on a cluster."""
    given = plan.project.config.training
    if given.kubernetes is not None:
        kept = plan.project.kept
        # Make the Job from the configuration that the run started with, like every step.
        settings = [] if kept is None else ["--settings", str(kept)]
        job = [*settings, str(plan.project.path), name_of(plan.run.path)]
        return ["pipeline", "job", *job, "--", "train", *words]
    workers = [] if given.workers is None else ["--workers", str(given.workers)]
    return ["train", *words, *workers]


def _checkpoints(plan: Plan) -> list[Path]:
    return sorted((plan.run.path / "checkpoints").glob("images-*"))


def _stage_end(plan: Plan, shape: Shape) -> int | None:
    """Return the images seen at the end of a stage, None if it has not ended."""
    exported = [
        int(path.name) for path in (plan.run.savedmodels / shape_name(shape)).glob("[0-9]*")
    ]
    saved = max(map(_images_of, _checkpoints(plan)), default=-1)
    # Ignore a SavedModel newer than the checkpoint: the checkpoint is written after it, so without
    # one the training would resume before the stage's end.
    ends = [images for images in exported if images <= saved]
    return max(ends) if ends else None


def _images_of(path: Path) -> int:
    """Return the images seen from a name such as `images-640`, -1 for other names."""
    found = re.fullmatch(r"images-(\d+)", path.stem)
    return int(found[1]) if found else -1


def _entries(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield the entries of the training's metrics log."""
    if plan.run.metrics.exists():
        for line in plan.run.metrics.read_text().splitlines():
            yield json.loads(line)
