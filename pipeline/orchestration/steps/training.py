"""The training: a step for each resolution, and one that asks for its end."""

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
from pipeline.orchestration.steps.step import Check, Done, run_growgan, written_config
from pipeline.shape import Shape, shape_name


def stage(plan: Plan, shape: Shape, log: Log, promoted: int | None) -> Done:
    """The training up to the end of a resolution, and the SavedModel that it leaves.

    Args:
        plan: Plan of the training.
        shape: Height and width of its images.
        log: Logger of progress.
        promoted: The version whose weights it may start from.

    Raises:
        StepFailed: if it was ended, or an alarm has stopped it.
    """
    new = _stage_end(plan, shape) is None
    if new:
        words = [
            "--config",
            str(written_config(plan)),
            "--out",
            str(plan.run.path),
            "--resume",
            "auto",
        ]
        if not plan.run.exists():
            words += _first_weights(plan, promoted, log)
        words += ["--until-resolution", str(shape[0])]
        run_growgan(plan, log, *_training(plan, words))
    end = _stage_end(plan, shape)
    if end is None:
        raise StepFailed(
            f"a stage must leave a checkpoint and a SavedModel. Received: none of {shape[0]} px "
            f"in {plan.run.path}",
            may_pass=True,
        )
    entries = [e for e in _entries(plan) if e.get("resolution") == shape[0]]
    sheets = [s for s in sorted(plan.run.samples.glob("*.png")) if _images_of(s) <= end]
    speeds = [e["images_per_second"] for e in entries if e["images_per_second"]]
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
    """The finished training, and whether alarms stand.

    Raises:
        StepFailed: if it is not finished.
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
    return Done(
        {
            "images seen": seen,
            "of": total,
            "seconds": round(float(_manifest(plan).get("seconds", math.nan)), 1),
            "alarms": names,
        },
        new=False,
        files={"run": plan.run.path},
        checks={"alarms": Check(not alarms, f"alarms while it trained: {names}")},
    )


def _first_weights(plan: Plan, promoted: int | None, log: Log) -> list[str]:
    """The run behind the promoted version, if it is to be started from."""
    if promoted is None or not plan.project.config.training.warm_start:
        return []
    run = run_behind(plan.project, promoted)
    if run is None:
        log(f"the run behind version {promoted} is not in this project: no weights to start from")
        return []
    return ["--from", str(run.path)]


def _training(plan: Plan, words: list[str]) -> list[str]:
    """The command that trains: here, in processes or as a Job that another command follows."""
    given = plan.project.config.training
    if given.kubernetes is not None:
        kept = plan.project.kept
        settings = [] if kept is None else ["--settings", str(kept)]
        job = [*settings, str(plan.project.path), name_of(plan.run.path)]
        return ["pipeline", "job", *job, "--", "train", *words]
    workers = [] if given.workers is None else ["--workers", str(given.workers)]
    return ["train", *words, *workers]


def _checkpoints(plan: Plan) -> list[Path]:
    return sorted((plan.run.path / "checkpoints").glob("images-*"))


def _stage_end(plan: Plan, shape: Shape) -> int | None:
    """Images seen at the end of a stage, None if it has not come to it.

    The checkpoint comes after the SavedModel.
    """
    exported = [
        int(path.name) for path in (plan.run.savedmodels / shape_name(shape)).glob("[0-9]*")
    ]
    saved = max(map(_images_of, _checkpoints(plan)), default=-1)
    ends = [images for images in exported if images <= saved]
    return max(ends) if ends else None


def _images_of(path: Path) -> int:
    found = re.fullmatch(r"images-(\d+)", path.stem)
    return int(found[1]) if found else -1


def _entries(plan: Plan) -> Iterator[dict[str, Any]]:
    if plan.run.metrics.exists():
        for line in plan.run.metrics.read_text().splitlines():
            yield json.loads(line)


def _manifest(plan: Plan) -> dict[str, Any]:
    return plan.run.manifest() if plan.run.exists() else {}
