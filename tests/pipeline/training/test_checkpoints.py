"""Checkpoints: whole or absent, and never lost to a failed write."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import UserError
from pipeline.training import checkpoints
from pipeline.training.checkpoints import Position


def variables(value: float, size: int = 1000) -> dict[str, tf.Variable]:
    return {"layer/kernel": tf.Variable(tf.fill((size,), value)), "step": tf.Variable(3)}


def save(run: Path, images: int, value: float = 0.0, keep: int = 10) -> checkpoints.Checkpoint:
    return checkpoints.save(run, variables(value), Position(images, 0, 1.5), keep=keep)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A disk that is full after so many bytes, as far as one file is concerned."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_was_saved_is_restored(tmp_path: Path) -> None:
    saved = save(tmp_path, 16, value=2.5)
    assert checkpoints.all_in(tmp_path) == [saved]
    assert saved.position == Position(16, 0, 1.5)
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
        save(tmp_path, images, keep=2)
    assert [c.position.images_seen for c in checkpoints.all_in(tmp_path)] == [24, 1_000_000_000]


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
