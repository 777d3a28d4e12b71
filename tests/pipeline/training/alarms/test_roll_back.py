"""A run that goes back goes on differently, and is resumed bit for bit all the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import Config, RunConfig
from pipeline.data.prepare import records_for
from pipeline.errors import AlarmError, UserError
from pipeline.training.alarms.thresholds import Streak
from pipeline.training.loop import checkpoints
from pipeline.training.loop.listeners import Listener, Moment
from pipeline.training.loop.randomness import Purpose, key
from pipeline.training.loop.recorders import JsonLines, SampleSheets, StageExports
from pipeline.training.position import Position, RollBack
from tests.pipeline.training.reuse import REUSE
from tests.pipeline.training.runs import assert_same, trainer_of, values_of
from tests.pipeline.training.steps import PLAIN

SECTIONS: dict[str, dict[str, Any]] = {
    "objective": PLAIN,
    "schedule": {"resolution": 4, "hold_images": 112},
    "run": {"log_images": 16, "sample_images": 48, "checkpoint_images": 24},
    "alarms": {"non_finite": "roll_back"},
}
BACK = RollBack("non_finite", at=72, to=48)


class CosmicRay(Listener):
    """Strikes a weight after 64 images of the first attempt."""

    def logged(self, moment: Moment) -> None:
        if moment.images_seen == 64 and not moment.roll_backs:
            kernel = moment.task.models.discriminator.get_layer("discriminator_4x4_conv").kernel
            kernel.assign(np.full(kernel.shape, np.nan))


def train(config: Config, run: Path, stop_after: int | None = None) -> Position:
    records = records_for(config.data, config.schedule.build().resolutions)
    calls = iter(range(1, 10**6))
    listeners = (JsonLines(run / "metrics.jsonl"), CosmicRay())
    return trainer_of(config, records, run, listeners).train(
        lambda: stop_after is not None and next(calls) > stop_after
    )


def entries_of(run: Path) -> list[dict[str, Any]]:
    return [
        {
            name: value
            for name, value in json.loads(line).items()
            if name not in ("seconds", "images_per_second", "data_wait")
        }
        for line in (run / "metrics.jsonl").read_text().splitlines()
    ]


@pytest.fixture(scope="module")
def rolled_back(tiny: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    run = tmp_path_factory.mktemp("rolled_back")
    with REUSE.patched():
        position = train(tiny(**SECTIONS), run)
    assert position.images_seen == 112
    assert position.roll_backs == (BACK,)
    return run


def test_it_goes_back_to_the_last_good_checkpoint_and_says_so(rolled_back: Path) -> None:
    entries = entries_of(rolled_back)
    # What was taken back is there once, and the alarm was taken back too.
    assert [entry["images_seen"] for entry in entries] == [16, 32, 48, 64, 80, 96, 112]
    before, after = entries[:3], entries[3:]
    assert not any("roll_backs" in entry for entry in before)
    assert {entry["roll_backs"] for entry in after} == {1.0}
    assert after[0]["rolled_back"] == {"alarm": "non_finite", "at": 72, "to": 48}
    assert {entry["learning_rate"] for entry in before} == {1e-3}
    assert {entry["learning_rate"] for entry in after} == {5e-4}
    rates = {n: v for n, v in values_of(rolled_back).items() if "learning_rate" in n}
    assert len(rates) == 2
    assert set(rates.values()) == {np.float32(5e-4)}


@pytest.mark.parametrize(
    "stops",
    [
        (10,),  # after it went back
        pytest.param((6,), marks=pytest.mark.slow),  # at the checkpoint that it goes back to
        pytest.param((5, 3, 5, 1), marks=pytest.mark.slow),
    ],
)
def test_it_resumes_bit_for_bit(
    tiny: Callable[..., Config], rolled_back: Path, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    for steps in (*stops, None):
        train(tiny(**SECTIONS), tmp_path, stop_after=steps)
    assert entries_of(tmp_path) == entries_of(rolled_back)
    assert_same(tmp_path, rolled_back)
    assert checkpoints.all_in(tmp_path)[-1].position.roll_backs == (BACK,)


@pytest.mark.slow
def test_what_does_not_mend_goes_back_so_often_and_then_stops(
    tiny: Callable[..., Config], tmp_path: Path
) -> None:
    config = tiny(
        objective={"penalty_weight": 1e6},
        schedule={"resolution": 4},
        run={"log_images": 8, "checkpoint_images": 8, "keep_checkpoints": 5},
        alarms={"exploding_gradients": "roll_back", "most_roll_backs": 2, "patience": 2},
    )
    with pytest.raises(AlarmError, match=r"after 16 images and 2 roll backs. The run is stopped"):
        train(config, tmp_path)
    # Each time the checkpoint at 8 images had a bad reading: the run began anew.
    [last] = checkpoints.all_in(tmp_path)
    again = RollBack("exploding_gradients", at=16, to=0)
    assert last.position == Position(8, 0, roll_backs=(again, again))
    assert last.alarms == {"exploding_gradients": Streak(standing=False, against=1)}
    aside = [path.name for path in (tmp_path / "checkpoints").glob("rolled-back-*")]
    assert aside == ["rolled-back-images-000000008"]
    norms = [e["critic_gradient_norm"] for e in entries_of(tmp_path) if "roll_backs" in e]
    assert len(norms) == 2


def test_draws_after_a_roll_back_are_others_than_all_before() -> None:
    pairs = {
        tuple(key(3, Purpose.CRITIC_LATENTS, 64, repeat=repeat, roll_backs=count).numpy())
        for repeat in range(4)
        for count in range(4)
    }
    assert len(pairs) == 16


def save(run: Path, images: int, alarms: dict[str, Streak]) -> None:
    checkpoints.save(run, {"w": tf.Variable(0.0)}, Position(images, 0), {}, alarms=alarms)


BREWING = {"collapse": Streak(standing=False, against=1)}
STANDING = {"collapse": Streak(standing=True)}


def images_of(run: Path) -> list[int]:
    return [each.position.images_seen for each in checkpoints.all_in(run)]


def test_the_newest_checkpoint_from_before_the_fault_is_kept_and_gone_back_to(
    tmp_path: Path,
) -> None:
    for images, alarms in ((8, {}), (16, {}), (24, BREWING), (32, STANDING), (40, STANDING)):
        save(tmp_path, images, alarms)
        checkpoints.prune(tmp_path, RunConfig(keep_checkpoints=2), ["collapse"])
    saved = checkpoints.all_in(tmp_path)
    assert [dict(each.alarms) for each in saved] == [{}, STANDING, STANDING]
    assert images_of(tmp_path) == [16, 32, 40]
    assert checkpoints.roll_back(tmp_path, ["collapse", "saturation"]) == 16
    assert images_of(tmp_path) == [16]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "images-000000016",
        "rolled-back-images-000000032",
        "rolled-back-images-000000040",
    ]
    save(tmp_path, 40, STANDING)
    assert checkpoints.roll_back(tmp_path, ["collapse"]) == 16  # those of the last time give way


def test_a_damaged_checkpoint_is_not_gone_back_to(tmp_path: Path) -> None:
    for images, alarms in ((8, {}), (16, {}), (24, STANDING)):
        save(tmp_path, images, alarms)
    folder = tmp_path / checkpoints.FOLDER
    (folder / "images-000000016" / "variables.index").write_bytes(b"damaged")
    assert checkpoints.roll_back(tmp_path, ["collapse"]) == 8
    assert images_of(tmp_path) == [8]
    # A run never starts over because of damage: somebody may mend the disk, or has a copy.
    (folder / "images-000000008" / "variables.index").write_bytes(b"damaged")
    with pytest.raises(UserError, match="only damaged checkpoints remain"):
        checkpoints.roll_back(tmp_path, ["collapse"])
    assert (folder / "images-000000008").is_dir()


def test_an_alarm_that_only_warns_does_not_lead_further_back(tmp_path: Path) -> None:
    for images in (8, 16, 24):
        save(tmp_path, images, STANDING)
        checkpoints.prune(tmp_path, RunConfig(keep_checkpoints=1), ["saturation"])
    assert checkpoints.roll_back(tmp_path, ["saturation"]) == 24
    assert images_of(tmp_path) == [24]


def test_without_a_checkpoint_from_before_the_fault_the_run_begins_anew(tmp_path: Path) -> None:
    save(tmp_path, 8, BREWING)
    assert checkpoints.roll_back(tmp_path, ["collapse"]) == 0
    assert checkpoints.all_in(tmp_path) == []


def test_a_checkpoint_from_before_there_were_alarms_is_read(tmp_path: Path) -> None:
    save(tmp_path, 8, {})
    [saved] = checkpoints.all_in(tmp_path)
    state = json.loads((saved.folder / "state.json").read_text())
    (saved.folder / "state.json").write_text(
        json.dumps({k: v for k, v in state.items() if k not in ("alarms", "roll_backs")})
    )
    assert checkpoints.all_in(tmp_path) == [saved]


def test_exports_and_sheets_of_what_is_taken_back_are_removed(
    tiny: Callable[..., Config], tmp_path: Path
) -> None:
    exports, samples = tmp_path / "savedmodels", tmp_path / "samples"
    for version in ("4x4/64", "4x4/72", "8x8/160"):
        (exports / version).mkdir(parents=True)
    samples.mkdir()
    for images in (64, 72):
        (samples / f"images-{images:09d}.png").touch()
    withdrawn: list[Path] = []
    for listener in (
        StageExports(exports, lambda _: {}, print, withdrawn.append),
        SampleSheets(samples, 32),
    ):
        listener.rolled_back(RollBack("collapse", at=168, to=64))
    assert sorted(withdrawn) == [exports / "4x4/72", exports / "8x8/160"]
    assert [path.name for path in exports.glob("*/*")] == ["64"]
    assert [path.name for path in samples.iterdir()] == ["images-000000064.png"]
