"""Runs whose processes are killed again and again end as those that never were, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.loop import checkpoints
from tests.pipeline.training.runs import assert_same, values_of

LIVES = Path(__file__).with_name("lives.py")
ROOT = Path(__file__).parents[2]
TIMES = ("seconds", "images_per_second", "data_wait")
COMMON = {
    "network.fmap_max": 8,
    "network.latent_size": 8,
    "schedule.batch_size": 8,
    "run.log_images": 8,
    "run.sample_images": 32,
    "run.checkpoint_images": 16,
    # What depends on the time is not the same again.
    "alarms.throughput": "ignore",
    "alarms.starvation": "ignore",
}
SMALL = {
    **COMMON,
    "schedule.resolution": 8,
    "schedule.hold_images": "{4: 16, 8: 32}",
    "schedule.fade_images": 48,
}
SHORT = {**SMALL, "schedule.hold_images": "{4: 16, 8: 0}"}
GROWING = {
    **COMMON,
    "schedule.resolution": 16,
    "schedule.hold_images": "{4: 48, 8: 32, 16: 48}",
    "schedule.fade_images": 48,
    "data.labels": True,
    "data.mirror": True,
}
ROLLING_BACK = {
    **GROWING,
    "schedule.learning_rate": "{4: 0.001, 8: 1.0e+30}",
    "alarms.non_finite": "roll_back",
    "alarms.roll_back_rate": "1.0e-33",
}
"""From 8 px on it learns much too quickly, and reasonably once it has rolled back."""
MIRRORED = {"run.strategy": "mirrored", "run.replicas": 2}
WORKERS = {"run.strategy": "multi_worker"}
BFLOAT16 = {"run.precision": "mixed_bfloat16", "run.intra_op_threads": "null"}
THOROUGH = pytest.mark.thorough
LONGEST_END = 20.0
"""Seconds from the death of a worker to that of the others, on a machine that does little else."""


def workers_of(settings: dict[str, Any]) -> int:
    return 2 if settings.get("run.strategy") == "multi_worker" else 1


class House:
    """Where runs live.

    Args:
        folder: For runs, logs and records.
        python: Interpreter that leads the lives.
    """

    def __init__(self, folder: Path, python: str) -> None:
        self.folder = folder
        self._python = python
        self._lives: list[dict[str, Any]] = []

    def plan(
        self,
        run: str,
        settings: dict[str, Any],
        *ends: dict[str, Any],
        arguments: Sequence[str] = ("--resume", "auto"),
    ) -> Path:
        """Another life of a run; it leads it when `live` is called."""
        # The preset's own threads: a test process may have others.
        keys = {"data.records": self.folder / "records", **settings}
        words = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
        out = self.folder / run
        self._lives.append(
            {
                "arguments": [
                    *("train", "--config", "quickstart"),
                    *words,
                    *arguments,
                    *("--out", str(out)),
                ],
                "log": str(self.folder / f"{run}.{len(self._lives)}.txt"),
                "workers": workers_of(settings),
                "ends": ends,
            }
        )
        return out

    def live(self) -> list[dict[str, Any]]:
        """Lead what was planned, one life after the other; what came of each."""
        plan = self.folder / "lives.json"
        plan.write_text(json.dumps(self._lives))
        lives, self._lives = self._lives, []
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [self._python, str(LIVES), str(plan)]
        result = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False
        )
        assert result.returncode == 0, result.stderr
        told = json.loads(result.stdout)
        for life, outcome in zip(lives, told, strict=True):
            logs = [Path(life["log"] + end) for end in ("", ".1")]
            outcome["logs"] = [log.read_text() for log in logs if log.exists()]
            for log in outcome["logs"]:
                assert "Traceback" not in log, log
            outcome["log"] = outcome["logs"][0]
        return told


@pytest.fixture
def house(tmp_path: Path, python: str) -> House:
    return House(tmp_path, python)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, python: str) -> Path:
    """A run of `SMALL` that nothing interrupted."""
    house = House(tmp_path_factory.mktemp("small"), python)
    run = house.plan("whole", SMALL)
    assert statuses(house.live()) == [0]
    return run


def kill(seconds: float = 0.0, worker: int = 0, **after: Any) -> dict[str, Any]:
    return {"signal": signal.SIGKILL, "worker": worker, "after": after, "seconds": seconds}


def entries_of(run: Path) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if name not in TIMES}
        for line in lines
    ]


def points_of(run: Path) -> dict[str, list[Any]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"tensors": 0}).Reload()
    # The configuration and the reals are written anew by each life.
    tags = set(events.Tags()["tensors"]) - {*TIMES, "config", "reals"}
    return {
        tag: [(event.step, event.tensor_proto.SerializeToString()) for event in events.Tensors(tag)]
        for tag in tags
    }


def answers_of(savedmodel: Path) -> Any:
    model = tf.saved_model.load(str(savedmodel))
    signature = model.signatures["serving_default"]
    _, inputs = signature.structured_input_signature
    generator = np.random.default_rng(0)
    latents = {
        name: tf.constant(generator.normal(size=(16, spec.shape[1])), tf.float32)
        for name, spec in sorted(inputs.items())
    }
    return signature(**latents)["images"].numpy()


def assert_same_run(one: Path, other: Path) -> None:
    """All that both have left is equal, but for times."""
    assert_same(one, other)
    assert entries_of(one) == entries_of(other)
    assert points_of(one) == points_of(other)
    for folder, pattern in (("samples", "*"), ("savedmodels", "*/*")):
        ours, theirs = (
            {path.relative_to(run): path for path in (run / folder).glob(pattern)}
            for run in (one, other)
        )
        assert ours.keys() == theirs.keys()
        for name, path in ours.items():
            if folder == "samples":
                assert path.read_bytes() == theirs[name].read_bytes(), name
            else:
                np.testing.assert_array_equal(answers_of(path), answers_of(theirs[name]))
    exports, expected = (
        json.loads((run / "manifest.json").read_text())["exports"] for run in (one, other)
    )
    assert exports == expected
    assert not list(one.rglob(".*.tmp"))


def statuses(told: list[dict[str, Any]]) -> list[int]:
    """Return the exit statuses of the chiefs."""
    return [life["statuses"][0] for life in told]


@pytest.mark.slow
def test_a_run_killed_in_a_checkpoint_and_in_a_fade_ends_as_one_that_was_not(house: House) -> None:
    whole = house.plan("whole", SHORT)
    # In the checkpoint at the end of the first phase, and between or in two steps of the fade.
    killed = house.plan("killed", SHORT, kill(writing=24))
    house.plan("killed", SHORT, kill(random.Random(0).uniform(0.0, 0.02), images=48))
    house.plan("killed", SHORT)
    assert statuses(house.live()) == [0, -9, -9, 0]
    assert_same_run(killed, whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("one_device", {}),
        pytest.param("two_replicas", MIRRORED, marks=THOROUGH),
        pytest.param("two_workers", WORKERS, marks=THOROUGH),
        pytest.param("bfloat16", BFLOAT16, marks=THOROUGH),
    ],
)
def test_a_run_killed_at_random_through_growth_ends_as_one_that_was_not(
    house: House, name: str, extra: dict[str, Any]
) -> None:
    settings = {**GROWING, **extra}
    chance = random.Random(f"{name} {os.environ.get('GROWGAN_CHANCE', '')}")
    whole = house.plan("whole", settings)
    house.plan("killed", settings, kill(text="hold_4x4: from"))  # nothing is saved yet
    total, images, kills = 248, 0, 1
    while True:
        images += chance.choice([0, 16, 32, 48])  # 0: before it has come any further
        if images >= total - 48:  # so that none ends before it is killed
            break
        moment = chance.choice(["images", "writing"])
        delay = chance.choice([0.0, chance.uniform(0.0, 0.03)])
        # Only the chief writes checkpoints.
        worker = kills % workers_of(settings) if moment == "images" else 0
        house.plan("killed", settings, kill(delay, worker, **{moment: images + 8}))
        kills += 1
    killed = house.plan("killed", settings)
    told = house.live()
    assert {*told[0]["statuses"], *told[-1]["statuses"]} == {0}
    # A whole run takes twice that alone, and longer beside other tests.
    longest_end = max(LONGEST_END, told[0]["seconds"] / 2)
    for life in told[1:-1]:
        # The others find that it is gone.
        assert sorted(life["statuses"]) == [-9, *[69] * (workers_of(settings) - 1)]
        print(f"worker {life['statuses'].index(-9)} killed, the last ended after", life["after"])
        assert life["after"] < longest_end
    assert any(life["unfinished"] for life in told), "no checkpoint was killed while written"
    assert_same_run(killed, whole)


@pytest.mark.slow
@THOROUGH
def test_a_run_that_rolls_back_and_is_killed_ends_as_one_that_was_not_killed(house: House) -> None:
    whole = house.plan("whole", ROLLING_BACK)
    chance = random.Random("roll back")
    killed = house.plan("killed", ROLLING_BACK, kill(text="rolled back for alarm non_finite"))
    house.plan("killed", ROLLING_BACK, kill(chance.uniform(0.0, 0.03), images=80))
    house.plan("killed", ROLLING_BACK, kill(writing=96))
    house.plan("killed", ROLLING_BACK, kill(chance.uniform(0.0, 0.03), images=200))
    house.plan("killed", ROLLING_BACK)
    told = house.live()
    assert statuses(told) == [0, -9, -9, -9, -9, 0]
    # The first life after the roll back had no checkpoint since, so it came to it again.
    assert ["rolled back" in life["log"] for life in told] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert_same_run(killed, whole)
    entries = entries_of(whole)
    assert [entry.get("roll_backs") for entry in entries if entry["images_seen"] in (56, 64)] == [
        None,
        1.0,
    ]


@pytest.mark.slow
@THOROUGH
@pytest.mark.parametrize("extra", [MIRRORED, WORKERS], ids=["replicas", "workers"])
def test_a_run_goes_on_with_another_number_of_replicas(house: House, extra: dict[str, Any]) -> None:
    """The same global batch and draws: what differs is the order in which sums are taken."""
    plain = {**GROWING, "run.checkpoint_images": 1000}
    shared = {**plain, **extra}
    alone = {"signal": signal.SIGTERM, "after": {"images": 104}}
    # A signal to one of the workers stops them all.
    together = {**alone, "worker": workers_of(shared) - 1}
    one, two = house.plan("one", plain), house.plan("two", shared)
    for run, first, stop, second in (
        ("down", shared, together, plain),
        ("up", plain, alone, shared),
    ):
        house.plan(run, first, stop)
        house.plan(run, second)
    told = house.live()
    assert statuses(told) == [0, 0, 143, 0, 143, 0]
    assert {*told[2]["statuses"]} == {143}
    for run in (two, house.folder / "down", house.folder / "up"):
        assert_nearly_same_weights(run, one)


@pytest.mark.slow
def test_workers_train_as_one_device_where_samples_meet(house: House) -> None:
    """In the means of relativistic losses and path lengths, and in the norm of a gradient."""
    settings = {
        **SMALL,
        "objective.loss": "relativistic_logistic",
        "objective.path_length": 2.0,
        "objective.path_length_every": 2,
        "objective.penalty_every": 2,
        "objective.critic_steps": 2,
        "optimizer.clip_norm": 0.1,
    }
    one, two = house.plan("one", settings), house.plan("two", {**settings, **WORKERS})
    assert statuses(house.live()) == [0, 0]
    assert_nearly_same_weights(two, one)


@pytest.mark.slow
@THOROUGH
def test_workers_roll_back_together(house: House) -> None:
    one = house.plan("one", ROLLING_BACK)
    two = house.plan("two", {**ROLLING_BACK, **WORKERS})
    told = house.live()
    assert statuses(told) == [0, 0]
    assert {*told[1]["statuses"]} == {0}
    assert all("rolled back for alarm non_finite" in life["log"] for life in told)
    assert_nearly_same_weights(two, one)


def assert_nearly_same_weights(run: Path, other: Path) -> None:
    values, expected = values_of(run), values_of(other)
    assert values.keys() == expected.keys()
    change = {
        name: np.abs(values[name] - expected[name]).max() / np.abs(expected[name]).max()
        for name in expected
        if "kernel" in name and "optimizer" not in name
    }
    print(run.name, "largest relative difference of a weight", max(change.values()))
    assert max(change.values()) < LARGEST_DIFFERENCE, run.name


LARGEST_DIFFERENCE = 1e-4


@pytest.mark.slow
def test_sigterm_and_the_time_limit_have_their_status_and_lose_nothing(
    house: House, small: Path
) -> None:
    long = {**SMALL, "schedule.hold_images": "{4: 10000000}", "schedule.resolution": 4}
    limit = ("--resume", "auto", "--time-limit", "15s")
    limited = house.plan("limited", long, arguments=limit)
    house.plan("limited", long, arguments=("--resume", "must", "--time-limit", "0:15"))
    house.plan("limited", long, {"signal": signal.SIGINT, "after": {"text": "checkpoint"}})
    stopped = house.plan("stopped", SMALL, {"signal": signal.SIGTERM, "after": {"images": 32}})
    house.plan("stopped", SMALL)
    house.plan("stopped", SMALL)
    told = house.live()
    assert statuses(told) == [75, 75, 130, 143, 0, 0]
    for life in told[:2]:
        assert life["seconds"] < 15.0
        assert "Stopped after" in life["log"]
    saved = [int(life["log"].partition("Stopped after ")[2].split()[0]) for life in told[:4]]
    assert 0 < saved[0] < saved[1] < saved[2]
    assert checkpoints.all_in(limited)[-1].position.images_seen == saved[2]
    assert 32 <= saved[3] < 96
    assert "hold_4x4: from" not in told[-1]["log"]
    assert "The run is finished: 96 images." in told[-1]["log"]
    assert_same_run(stopped, small)


@pytest.mark.slow
def test_a_run_that_stops_at_the_end_of_each_stage_ends_as_one_that_does_not(
    house: House, small: Path
) -> None:
    for until in ("4", "4", "8"):
        staged = house.plan(
            "staged", SMALL, arguments=("--resume", "auto", "--until-resolution", until)
        )
    told = house.live()
    assert statuses(told) == [0, 0, 0]
    first, again, last = (life["log"] for life in told)
    assert "The stage of 4 px is finished: 24 of 96 images." in first
    assert "The stage of 4 px is finished: 24 of 96 images." in again
    assert "images on" not in again
    assert "fade_8x8: from 24 images on" in last
    assert "The run is finished: 96 images." in last
    assert_same_run(staged, small)


@pytest.mark.slow
@THOROUGH
def test_a_run_goes_back_to_the_checkpoint_before_a_damaged_one_and_says_so(
    house: House, small: Path
) -> None:
    house.plan("harmed", SMALL, kill(images=88))
    assert statuses(house.live()) == [-9]
    harmed = house.folder / "harmed"
    before, newest = checkpoints.all_in(harmed)
    [file] = newest.folder.glob("variables.data*")
    file.write_bytes(file.read_bytes()[:-1])
    house.plan("harmed", SMALL)
    [life] = house.live()
    assert statuses([life]) == [0]
    assert (
        f"checkpoint {newest.folder} is damaged ({file.name} is not what was written) and put "
        f"aside: going on from {before.position.images_seen} images\n"
    ) in life["log"]
    assert_same_run(harmed, small)


@pytest.mark.slow
def test_a_run_that_an_alarm_stopped_goes_on_once_it_only_warns(house: House) -> None:
    faulty = {**SMALL, "objective.penalty_weight": 1e6}
    stops = {**faulty, "alarms.exploding_gradients": "stop"}
    whole = house.plan("whole", faulty)
    stopped = house.plan("stopped", stops)
    house.plan("stopped", stops)
    house.plan("stopped", faulty)
    told = house.live()
    assert statuses(told) == [0, 3, 3, 0]
    for life in told[1:3]:
        [line] = [line for line in life["log"].splitlines() if line.startswith("growgan: ")]
        assert line.startswith("growgan: alarm exploding_gradients: `critic_gradient_norm` must be")
        assert line.endswith(
            ", after 24 images. The run is stopped; its last good checkpoint is kept"
        )
    assert_same_run(stopped, whole)
    first = next(entry for entry in entries_of(whole) if "alarm" in entry)
    assert (first["images_seen"], first["alarm"], first["state"], first["action"]) == (
        *(24, "exploding_gradients"),
        *("begun", "warn"),
    )
