"""Steps with the commands that they start: a warm start, a lost worker, and a disk that is full."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.data.records import open_records
from pipeline.orchestration import steps
from pipeline.orchestration.plan import Plan
from pipeline.orchestration.runs.failure import RunFailure, failure_of
from pipeline.orchestration.runs.run import begin_run
from pipeline.orchestration.snapshots import take
from pipeline.training.loop import checkpoints
from pipeline.training.position import Position
from pipeline.training.synthesis.state import TrainingState
from pipeline.training_run.folder import RunFolder
from pipeline.training_run.networks import SavedNetworks
from savedmodels.layout import GOLDEN
from tests.pipeline.orchestration.projects import TINY, make_project, put_pictures, wait

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked")]
SMALL_DISK = 4
"""MiB."""


def failed(work: Callable[[], Any]) -> RunFailure:
    """Return how a step fails."""
    try:
        work()
    except Exception as error:
        failure = failure_of(error)
        assert "\n" not in failure.reason
        return failure
    pytest.fail("it did not fail")


def trained(plan: Plan) -> RunFolder:
    """The run of a plan with a checkpoint, as if it had been trained."""
    config, run = plan.config, plan.run
    steps.records(plan, print)
    run.start(config, open_records(plan.records), resume="never")
    state = TrainingState(config, label_size=0, strategy=tf.distribute.get_strategy())
    phases = config.schedule.build().phases
    models = state.models_for(phases[-1])
    checkpoints.save(run.path, models.variables, Position(64, len(phases) - 1), {})
    return run


def generator_of(run: RunFolder, images_seen: int) -> dict[str, np.ndarray]:
    model = SavedNetworks(run, run.checkpoint(images_seen)).average()
    return {weight.path: weight.numpy() for weight in model.weights}


def test_a_warm_start_has_the_promoted_weights_and_is_refused_at_another_resolution(
    tmp_path: Path,
) -> None:
    put_pictures(tmp_path / "incoming", 0, 20)
    overrides = (*TINY, "run.keep_checkpoints=9", "schedule.hold_images=16")
    project = make_project(tmp_path, overrides=overrides, training={"warm_start": True})
    earlier = Plan(project, take(project))
    source = trained(earlier)
    published = {"version": 1, "destination": earlier.destination}
    earlier.write_note("published", **published, run=str(source.path.relative_to(project.path)))

    put_pictures(tmp_path / "incoming", 20, 24)
    plan = Plan(project, take(project))
    steps.records(plan, print)
    growing = (*overrides, "schedule.start_resolution=4")
    changed = project.config.model_copy(update={"overrides": growing})
    other = replace(project, config=changed)
    grows = Plan(other, take(other))
    refused = failed(lambda: steps.stage(grows, (4, 4), print, 1))
    assert (refused.status, refused.may_pass) == (2, False)
    assert (
        "`schedule.start_resolution` must be that of the weights of `--from`, 8. Received: 4"
        in (refused.reason)
    )
    assert not list(grows.run.path.glob("*"))

    steps.stage(plan, (8, 8), print, 1)
    lineage = plan.run.manifest()["first_weights"]
    assert (lineage["run"], lineage["images_seen"]) == (str(source.path), 64)
    assert lineage["made_anew"] == []
    first, promoted = generator_of(plan.run, 0), generator_of(source, 64)
    assert first.keys() == promoted.keys()
    for name, weights in promoted.items():
        np.testing.assert_array_equal(first[name], weights)


def worker_of(run: RunFolder, index: int) -> int:
    """The process of a worker that trains a run."""
    told = f'"index": {index}'
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_text()
            environment = (folder / "environ").read_text()
        except OSError:
            continue  # It has ended, or is another user's.
        if str(run.path) in command and told in environment:
            return int(folder.name)
    return 0


def test_a_lost_worker_is_told_in_a_line_and_the_next_attempt_goes_on(tmp_path: Path) -> None:
    put_pictures(tmp_path / "incoming", 0, 20)
    overrides = (*TINY, "schedule.hold_images=640", "run.checkpoint_images=160")
    project = make_project(tmp_path, overrides=overrides, training={"workers": 2})
    plan = Plan(project, take(project))
    steps.records(plan, print)
    run = begin_run(project, "r", snapshot=plan.snapshot.key, trigger="manual")

    said: list[str] = []

    def stage() -> steps.Done:
        return run.perform("stage_8x8", lambda: steps.stage(plan, (8, 8), said.append, None))

    def saved() -> list[Path]:
        return sorted((plan.run.path / "checkpoints").glob("images-*"))

    with ThreadPoolExecutor(1) as threads:
        attempt = threads.submit(failed, stage)
        wait(saved, "a checkpoint")
        os.kill(worker_of(plan.run, 1), signal.SIGKILL)
        failure = attempt.result()
    assert (failure.status, failure.ending, failure.may_pass) == (75, "failed", True)
    assert failure.reason.startswith("growgan train ended with status 69: ")
    assert "worker 1 of 2" in failure.reason
    newest = int(saved()[-1].name.removeprefix("images-"))
    said.clear()
    assert stage().facts["images seen"] == 640
    assert f"hold_8x8: from {newest} images on" in said


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = f"size={SMALL_DISK}m"
    command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, left: int) -> Path:
    """A file that leaves so many bytes of a disk."""
    filler = disk / "filler"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with filler.open("wb") as file:
        file.write(bytes(max(0, free - left)))
    return filler


def assert_no_room(failure: RunFailure) -> None:
    assert "No space left on device" in failure.reason
    assert "ended with status" not in failure.reason  # Not by a traceback.
    assert failure.may_pass
    assert failure.ending == "failed"


def test_what_a_full_disk_stops_is_not_half_written_and_goes_on_with_room(
    tmp_path: Path, small_disk: Path
) -> None:
    put_pictures(tmp_path / "incoming", 0, 20)
    project = make_project(tmp_path, overrides=(*TINY, "schedule.hold_images=32"))
    # All but the records of this project, the runs and the models has room.
    for folder in (project.records, project.runs, project.repository.path):
        (small_disk / folder.name).mkdir()
        folder.symlink_to(small_disk / folder.name)
    plan = Plan(project, take(project))
    run = begin_run(project, "r", snapshot=plan.snapshot.key, trigger="manual")

    filler = fill(small_disk, 0)
    assert_no_room(failed(lambda: run.perform("records", lambda: steps.records(plan, print))))
    assert not plan.records.exists()
    filler.unlink()
    assert run.perform("records", lambda: steps.records(plan, print)).new

    def stage() -> steps.Done:
        return run.perform("stage_8x8", lambda: steps.stage(plan, (8, 8), print, None))

    filler = fill(small_disk, 40_000)
    assert_no_room(failed(stage))
    assert not list((plan.run.path / "savedmodels").glob("*/*"))
    filler.unlink()
    assert stage().new

    def publish() -> steps.Done:
        return run.perform("published_version", lambda: steps.published_version(plan, print, None))

    filler = fill(small_disk, 20_000)
    assert_no_room(failed(publish))
    assert project.repository.versions("digits") == []
    filler.unlink()
    assert publish().facts["version"] == 1
    assert project.repository.label_state("digits").labels == {"stable": 1}
    assert (project.repository.path / "digits" / "1" / GOLDEN).exists()
    assert [path for path in small_disk.rglob(".*.tmp")] == []
