"""Traces of steps: those that were asked for, also of a run that ends before the last."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from pipeline.errors import UserError
from pipeline.training.loop.profiling import Profile, Steps


def events(folder: Path) -> dict[str, int]:
    """How often each event was traced."""
    found: dict[str, int] = {}
    for file in folder.glob("plugins/profile/*/*.xplane.pb"):
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
        for plane in space.planes:
            for event in (event for line in plane.lines for event in line.events):
                name = plane.event_metadata[event.metadata_id].name
                found[name] = found.get(name, 0) + 1
    return found


def run(folder: Path, steps: Steps, *, until: int) -> Profile:
    square = tf.function(lambda x: x @ x)
    square(tf.ones((2, 2)))
    with Profile(folder, steps) as profile:
        profile.started(0, [])
        for _ in range(until):
            square(tf.ones((2, 2)))
            profile.stepped()
        square(tf.ones((2, 2)))  # Of a step that does not end.
    return profile


@pytest.mark.parametrize(
    ("steps", "until"),
    [
        (Steps(1, 1), 3),
        (Steps(2, 3), 5),
        (Steps(2, 3), 2),  # The third is broken off.
    ],
)
def test_the_steps_asked_for_are_traced(tmp_path: Path, steps: Steps, until: int) -> None:
    assert run(tmp_path, steps, until=until).written
    found, wanted = events(tmp_path), steps.last - steps.first + 1
    assert found["train"] == wanted
    assert sum(count for name, count in found.items() if "MatMul" in name) == wanted


def test_a_run_too_short_leaves_nothing(tmp_path: Path) -> None:
    assert not run(tmp_path, Steps(7, 9), until=3).written
    assert not list(tmp_path.iterdir())


def test_steps_are_read() -> None:
    assert Steps.parse("10,20") == Steps(10, 20)
    assert Steps.parse("7") == Steps(7, 7)


@pytest.mark.parametrize("text", ["", "0,3", "5,4", "1-3", "a,b", "1,2,3", "-1,2"])
def test_other_steps_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError, match=f"such as 10,20. Received: {text}$") as caught:
        Steps.parse(text)
    assert "\n" not in str(caught.value)
