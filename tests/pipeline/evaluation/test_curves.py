"""Curves: the numbers that a run has logged, and its scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.evaluation.curves import POINTS, Curves, read_curves, score_curve


def write(path: Path, *entries: dict) -> Path:
    """Write a file of metrics."""
    file = path / "metrics.jsonl"
    file.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return file


def test_numbers_sizes_and_alarms_are_told_apart(tmp_path: Path) -> None:
    alarm = {"alarm": "collapse", "state": "begun", "text": "`diversity` must be …", "value": 9.0}
    file = write(
        tmp_path,
        {"images_seen": 8, "phase": "hold_4x4", "loss": 3.0, "resolution": 4.0},
        {"images_seen": 16, "phase": "hold_4x4", "loss": 2.0, "resolution": 4.0, "odd": 1},
        {"images_seen": 16, "phase": "hold_4x4", **alarm},
        {"images_seen": 24, "phase": "fade_8x8", "loss": 4.0, "resolution": 8.0},
    )
    curves = read_curves(file)
    assert curves.metrics["loss"].x == [8, 16, 24]
    assert curves.metrics["loss"].y == [3, 2, 4]
    assert curves.metrics["odd"].x == [16]
    assert set(curves.metrics) == {"loss", "resolution", "odd"}
    assert curves.sizes == {4: 8, 8: 24}
    assert curves.alarms == ((16, "collapse begun: `diversity` must be …"),)


def test_many_entries_become_means_and_ranges(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=4 * POINTS)
    entries = ({"images_seen": n, "loss": value} for n, value in enumerate(values))
    curve = read_curves(write(tmp_path, *entries)).metrics["loss"]
    fours = values.reshape(POINTS, 4)
    np.testing.assert_allclose(curve.y, fours.mean(1), rtol=1e-12)
    np.testing.assert_array_equal(curve.low, fours.min(1))
    np.testing.assert_array_equal(curve.high, fours.max(1))
    np.testing.assert_allclose(curve.x, np.arange(4 * POINTS).reshape(POINTS, 4).mean(1))


def test_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"images_seen": 1, "loss": NaN}\n{"images_seen": 2, "loss": 1.0}\n')
    assert read_curves(file).metrics["loss"].x == [2]


def test_a_line_that_a_kill_cut_off_is_passed_over(tmp_path: Path) -> None:
    file = write(tmp_path, {"images_seen": 1, "loss": 2.0})
    file.write_text(file.read_text() + '{"images_seen": 2, "lo')
    assert read_curves(file).metrics["loss"].x == [1]


@pytest.mark.parametrize(
    "line",
    [
        *(b"{", b"[]", b"7", b'{"loss": 1}', b'{"images_seen": null}'),
        *(b'{"images_seen": Infinity}', b'{"images_seen": 2, "alarm": "\xff"}'),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(b'{"images_seen": 1}\n' + line + b'\n{"images_seen": 3}\n')
    with pytest.raises(UserError, match=r"lines of JSON with `images_seen`.*metrics.jsonl, line 2"):
        read_curves(file)


def test_a_run_that_has_logged_nothing_has_no_curves(tmp_path: Path) -> None:
    assert read_curves(tmp_path / "metrics.jsonl") == Curves()
    assert read_curves(write(tmp_path)) == Curves()


def test_a_score_has_its_interval_or_itself(evaluated) -> None:
    alone, ranged = evaluated(scores={"fid": 3.0}), evaluated(scores={"fid": (4.0, 3.5, 5.0)})
    curve = score_curve("fid", [alone, ranged], [10, 20])
    assert (curve.x, curve.y) == ([10, 20], [3.0, 4.0])
    assert (curve.low, curve.high) == ([3.0, 3.5], [3.0, 5.0])
