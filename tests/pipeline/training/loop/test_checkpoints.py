"""Checkpoints: whole or absent, verified, and never lost to a failed write."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import RunConfig
from pipeline.errors import UserError
from pipeline.training.loop import checkpoints
from pipeline.training.position import Position


def variables(value: float, size: int = 1000) -> dict[str, tf.Variable]:
    return {"layer/kernel": tf.Variable(tf.fill((size,), value)), "step": tf.Variable(3)}


def save(run: Path, images: int, value: float = 0.0, **metrics: float) -> checkpoints.Checkpoint:
    return checkpoints.save(run, variables(value), Position(images, 0), metrics, seconds=1.5)


def images_of(saved: Sequence[checkpoints.Checkpoint]) -> list[int]:
    return [checkpoint.position.images_seen for checkpoint in saved]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A disk that is full after so many bytes, as far as one file is concerned."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["run", "faces [v2]", r"back\slash", "*"])
def test_what_was_saved_is_restored(tmp_path: Path, name: str) -> None:
    saved = save(tmp_path / name, 16, value=2.5)
    assert checkpoints.all_in(tmp_path / name) == [saved]
    assert (saved.position, saved.seconds) == (Position(16, 0), 1.5)
    fresh = variables(0.0)
    saved.restore(fresh)
    np.testing.assert_array_equal(fresh["layer/kernel"], np.full(1000, 2.5, np.float32))


def test_a_part_can_be_restored(tmp_path: Path) -> None:
    saved = save(tmp_path, 16, value=2.5)
    part = {"layer/kernel": variables(0.0)["layer/kernel"]}
    saved.restore(part)
    assert float(part["layer/kernel"][0]) == 2.5


def test_the_newest_are_kept_in_order(tmp_path: Path) -> None:
    for images in (8, 16, 24, 1_000_000_000):
        save(tmp_path, images)
        checkpoints.prune(tmp_path, RunConfig(keep_checkpoints=2))
    assert images_of(checkpoints.all_in(tmp_path)) == [24, 1_000_000_000]
    assert len(list((tmp_path / checkpoints.FOLDER).iterdir())) == 2


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"keep_checkpoints": 1}, [100]),
        ({"keep_checkpoints": 3}, [80, 90, 100]),
        ({"keep_checkpoints": 99}, [*range(10, 101, 10)]),
        # The first at or after each multiple, as a batch may step over it.
        ({"keep_checkpoints": 1, "keep_every_images": 25}, [30, 50, 80, 100]),
        ({"keep_checkpoints": 1, "keep_every_images": 30}, [30, 60, 90, 100]),
        ({"keep_checkpoints": 1, "keep_every_images": 1000}, [100]),
        ({"keep_checkpoints": 1, "keep_best": "loss"}, [40, 100]),
        ({"keep_checkpoints": 1, "keep_best": "loss", "keep_best_mode": "max"}, [20, 100]),
        ({"keep_checkpoints": 1, "keep_best": "fid"}, [50, 100]),
        ({"keep_checkpoints": 1, "keep_best": "absent"}, [100]),
        (
            {"keep_checkpoints": 2, "keep_best": "loss", "keep_every_images": 60},
            [40, 60, 90, 100],
        ),
    ],
)
def test_policies_add_up_and_choose_the_same_at_once_or_one_by_one(
    tmp_path: Path, settings: dict[str, Any], kept: list[int]
) -> None:
    chosen = RunConfig(**settings)
    losses = dict(zip(range(10, 101, 10), (5, 9, 8, 1, 7, 9, 1, 6, 2, 3), strict=True))
    scores = {50: 2.0, 80: 3.0, 60: float("nan")}  # measured now and then

    def metrics(images: int) -> dict[str, float]:
        scored = {"fid": scores[images]} if images in scores else {}
        return {"loss": float(losses[images]), **scored}

    for images in losses:
        save(tmp_path / "at once", images, **metrics(images))
        save(tmp_path / "one by one", images, **metrics(images))
        checkpoints.prune(tmp_path / "one by one", chosen)
    checkpoints.prune(tmp_path / "at once", chosen)
    for run in ("at once", "one by one"):
        saved = checkpoints.all_in(tmp_path / run)
        assert images_of(saved) == kept, run
        assert all(each.metrics["loss"] == losses[each.position.images_seen] for each in saved)


def test_a_checkpoint_names_the_size_and_hash_of_its_files(tmp_path: Path) -> None:
    import hashlib

    folder = save(tmp_path, 8).folder
    files = json.loads((folder / "manifest.json").read_text())["files"]
    assert files == {
        file.name: {
            "bytes": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file in folder.iterdir()
        if file.name != "manifest.json"
    }
    assert {"state.json", "variables.index"} < set(files)


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _shorten(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def _empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("harm", [_flip, _shorten, _empty, Path.unlink])
@pytest.mark.parametrize("name", ["state.json", "manifest.json", "variables.index", "variables.d"])
def test_any_damage_is_seen_and_the_one_before_is_the_newest(
    tmp_path: Path, name: str, harm: Callable[[Path], None]
) -> None:
    good = save(tmp_path, 8)
    bad = save(tmp_path, 16)
    [file] = bad.folder.glob(f"{name}*")
    harm(file)
    found, [damaged] = checkpoints.newest(tmp_path)
    assert found == good
    assert damaged.folder == bad.folder
    assert "\n" not in damaged.reason
    # A manifest that is damaged may speak ill of the others.
    assert name.partition(".")[0] in damaged.reason or name == "manifest.json"
    checkpoints.put_aside(damaged)
    assert checkpoints.newest(tmp_path) == (good, [])
    assert checkpoints.all_in(tmp_path) == [good]
    aside = tmp_path / checkpoints.FOLDER / "damaged-images-000000016"
    assert aside.is_dir()
    # Again, after the run has come there a second time.
    save(tmp_path, 16)
    harm(next(bad.folder.glob(f"{name}*")))
    _, [again] = checkpoints.newest(tmp_path)
    checkpoints.put_aside(again)
    assert checkpoints.newest(tmp_path) == (good, [])


def test_several_damaged_ones_are_passed_over(tmp_path: Path) -> None:
    good, *bad = (save(tmp_path, images) for images in (8, 16, 24))
    for each in bad:
        shutil.rmtree(each.folder)
        each.folder.mkdir()
    found, damaged = checkpoints.newest(tmp_path)
    assert found == good
    assert [each.folder for each in damaged] == [bad[1].folder, bad[0].folder]


def test_a_run_whose_checkpoints_are_all_damaged_does_not_start_over(tmp_path: Path) -> None:
    for images in (8, 16):
        _flip(next(save(tmp_path, images).folder.glob("variables.d*")))
    for _ in range(2):
        with pytest.raises(UserError, match=r"damaged. .*-000000016: .*; .*08: ") as caught:
            checkpoints.newest(tmp_path)
        assert "\n" not in str(caught.value)


def test_a_run_without_checkpoints_has_no_newest(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path) == (None, [])


def test_what_a_kill_leaves_is_no_checkpoint(tmp_path: Path) -> None:
    good = save(tmp_path, 8)
    folder = tmp_path / checkpoints.FOLDER
    shutil.copytree(good.folder, folder / ".images-000000016.0123abcd.tmp")
    assert checkpoints.newest(tmp_path) == (good, [])
    assert checkpoints.all_in(tmp_path) == [good]


def test_a_full_disk_leaves_the_earlier_checkpoint_and_no_part_of_the_new(tmp_path: Path) -> None:
    good = save(tmp_path, 8, value=1.0)
    with largest_file(2000), pytest.raises(UserError, match="cannot be written: ") as caught:
        save(tmp_path, 16, value=2.0)
    assert "\n" not in str(caught.value)
    assert "{{" not in str(caught.value)
    assert "Earlier ones are kept" in str(caught.value)
    assert checkpoints.all_in(tmp_path) == [good]
    assert list((tmp_path / checkpoints.FOLDER).iterdir()) == [good.folder]
    fresh = variables(0.0)
    good.restore(fresh)
    assert float(fresh["layer/kernel"][0]) == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"layer/kernel": tf.zeros((3,))},
        {"layer/kernel": tf.zeros((1000,)), "absent": tf.zeros(())},
    ],
)
def test_variables_that_do_not_fit_are_refused(tmp_path: Path, wrong: dict[str, tf.Tensor]) -> None:
    saved = save(tmp_path, 8)
    with pytest.raises(UserError, match="cannot be restored") as caught:
        saved.restore({name: tf.Variable(value) for name, value in wrong.items()})
    assert "\n" not in str(caught.value)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    saved = save(tmp_path, 8)
    (data,) = saved.folder.glob("variables.data*")
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(UserError, match="cannot be restored"):
        saved.restore(variables(0.0))


def test_the_best_is_of_the_last_size_that_was_held(tmp_path: Path) -> None:
    """The FID of 4 px is another quantity, and small; so is that of a fade."""
    for images, phase, fid in ((8, 0, 0.3), (16, 0, 0.2), (24, 1, 0.1), (32, 2, 3.0), (40, 2, 2.0)):
        checkpoints.save(tmp_path, variables(0.0), Position(images, phase), {"fid": fid})
    saved = checkpoints.all_in(tmp_path)

    def best(until: int) -> int:
        found = checkpoints.best_of(saved[:until], "fid", "min", fading=(1, 3))
        assert found is not None
        return found.position.images_seen

    assert [best(until) for until in range(1, 6)] == [8, 16, 16, 32, 40]


def test_what_was_measured_on_earlier_weights_is_kept_and_not_the_best(tmp_path: Path) -> None:
    for images, fid, former in ((8, 2.0, ()), (16, 1.0, ()), (24, 0.5, ("fid",))):
        checkpoints.save(tmp_path, variables(0.0), Position(images, 0), {"fid": fid}, former)
    saved = checkpoints.all_in(tmp_path)
    assert [each.metrics["fid"] for each in saved] == [2.0, 1.0, 0.5]
    assert checkpoints.best_of(saved, "fid", "min") == saved[1]
