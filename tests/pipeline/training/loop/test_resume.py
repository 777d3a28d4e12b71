"""Runs that were stopped, again and again, equal those that were not, bit for bit."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.training.loop import checkpoints
from pipeline.training.loop.recorders import JsonLines
from pipeline.training.optimization import loss_scale
from pipeline.training.synthesis import phase_task
from tests.pipeline.training.reuse import REUSE, Reuse
from tests.pipeline.training.runs import Idle, Recorder, assert_same, train, values_of
from tests.pipeline.training.steps import LAZY

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def uninterrupted(tiny: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("uninterrupted")
    with REUSE.patched():
        train(tiny(run={"keep_checkpoints": 9}), run, JsonLines(run / "metrics.jsonl"))
    return run


def test_a_run_that_goes_on_in_a_fade_equals_an_uninterrupted_one_bit_for_bit(
    tiny: Callable[..., Config], uninterrupted: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    for saved in checkpoints.all_in(run):
        if saved.position.images_seen > 128:
            shutil.rmtree(saved.folder)
    recorder = Recorder()
    train(tiny(), run, recorder)
    assert recorder.starts == [(128, [])]
    assert recorder.phases == [("fade_8x8", 128), ("hold_8x8", 160)]
    assert_same(run, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [9, 29])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    tiny: Callable[..., Config], uninterrupted: Path, tmp_path: Path, steps: int
) -> None:
    stopped = train(tiny(), tmp_path, stop_after=steps)
    assert stopped.images_seen == steps * 8
    recorder = Recorder()
    train(tiny(), tmp_path, recorder)
    assert recorder.phases[0][1] == steps * 8
    assert recorder.starts == [(steps * 8, [])]
    assert_same(tmp_path, uninterrupted)


@pytest.mark.slow
def test_a_run_stopped_again_and_again_is_still_the_same(
    tiny: Callable[..., Config], uninterrupted: Path, tmp_path: Path
) -> None:
    log = tmp_path / "metrics.jsonl"
    for steps in (2, 8, 5, 7, None):
        train(tiny(), tmp_path, JsonLines(log), stop_after=steps)
    assert_same(tmp_path, uninterrupted)
    # Nor does its log show where it was stopped.
    entries, expected = (
        [json.loads(line)["images_seen"] for line in file.read_text().splitlines()]
        for file in (log, uninterrupted / "metrics.jsonl")
    )
    assert entries == expected


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_is_passed_over_and_the_end_is_the_same(
    tiny: Callable[..., Config], uninterrupted: Path, tmp_path: Path
) -> None:
    train(tiny(), tmp_path, stop_after=20)
    *_, before, newest = checkpoints.all_in(tmp_path)
    (newest.folder / "variables.index").write_bytes(b"")
    recorder = Recorder()
    train(tiny(), tmp_path, recorder)
    assert recorder.starts == [(before.position.images_seen, [newest.folder])]
    assert recorder.phases[0][1] == before.position.images_seen
    assert_same(tmp_path, uninterrupted)


def test_every_batch_and_clock_after_a_restart_is_that_of_an_uninterrupted_run(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Order, flips and labels; draws follow from the clock, which is looked at here."""
    seen: list[tuple[Any, ...]] = []

    class Recording(Idle):
        def __call__(self, batches: list[Any], images_seen: int, alpha: float) -> dict[str, Any]:
            [batch] = batches
            content = batch["images"].numpy().tobytes(), batch["labels"].numpy().tobytes()
            seen.append((*content, images_seen, alpha))
            return super().__call__(batches, images_seen, alpha)

    monkeypatch.setattr(phase_task, "SynthesisStep", Recording)
    config = tiny(data={"labels": True, "mirror": True})
    train(config, tmp_path / "whole")
    whole, seen[:] = list(seen), []
    for steps in (1, 7, 2, 0, 5, None):
        train(config, tmp_path / "parts", stop_after=steps)
    assert seen == whole
    assert len({images for images, *_ in whole}) == 32


def test_another_seed_gives_another_run(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        phase_task, "SynthesisStep", Idle
    )  # The networks that are begun with are others.
    for seed in (0, 1):
        train(tiny(run={"seed": seed}), tmp_path / str(seed), stop_after=1)
    ours, theirs = (values_of(tmp_path / str(seed)) for seed in (0, 1))
    kernels = [n for n in ours if "generator_4x4_conv" in n and "optimizer" not in n]
    assert any((ours[name] != theirs[name]).any() for name in kernels)


@pytest.mark.slow
def test_a_run_with_lazy_regularisers_resumes_bit_for_bit(
    tiny: Callable[..., Config], tmp_path: Path
) -> None:
    objective = {
        **{"loss": "logistic", "penalty": "none", "r1": 10.0, "penalty_every": 8},
        **{"path_length": 2.0, "path_length_every": 4, "critic_steps": 2, "generator_steps": 2},
    }
    config = tiny(objective=objective, data={"labels": True, "mirror": True})
    best = tiny(objective=objective, data=config.data.model_dump(), run={"keep_best": "r1"})
    train(config, tmp_path / "whole", JsonLines(tmp_path / "whole.jsonl"))
    for steps in (2, 5, 3, None):
        log = JsonLines(tmp_path / "parts.jsonl")
        train(best, tmp_path / "parts", log, stop_after=steps)
    assert_same(tmp_path / "parts", tmp_path / "whole")
    entries, expected = (
        [
            {
                name: value
                for name, value in json.loads(line).items()
                if name not in ("seconds", "images_per_second", "data_wait")
            }
            for line in (tmp_path / f"{run}.jsonl").read_text().splitlines()
        ]
        for run in ("parts", "whole")
    )
    assert entries == expected
    assert {"r1", "path_length"} <= expected[-1].keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    "family", [pytest.param("stylegan", marks=pytest.mark.thorough), "stylegan2"]
)
def test_a_run_with_styles_and_steered_augmentation_resumes_bit_for_bit(
    tiny: Callable[..., Config], tmp_path: Path, family: str
) -> None:
    sizes = {"fmap_max": 8, "latent_size": 8, "style_size": 8, "mapping_layers": 2}
    config = tiny(
        network={"family": family, **sizes},
        objective={
            **{"loss": "logistic", "penalty": "none", "drift": 0.0, "r1": 1.0, "penalty_every": 4},
            **{"path_length": 2.0, "path_length_every": 2},
        },
        augmentation={"kind": "ada", "rise_images": 64, "adjust_every": 3},
        schedule={"start_resolution": 8, "hold_images": 192} if family == "stylegan2" else {},
        data={"labels": True, "mirror": True},
    )
    train(config, tmp_path / "whole")
    for steps in (2, 5, 9, None):
        train(config, tmp_path / "parts", stop_after=steps)
    assert_same(tmp_path / "parts", tmp_path / "whole")
    found = values_of(tmp_path / "whole")
    means = [value for name, value in found.items() if "truncation" in name]
    assert means
    assert all(mean.any() for mean in means)


def metrics_in(run: Path) -> dict[str, float]:
    """The metrics in a run's newest checkpoint."""
    return dict(checkpoints.all_in(run)[-1].metrics)


def assert_resumes(config: Config, folder: Path, *stops: int) -> None:
    train(config, folder / "whole")
    for steps in (*stops, None):
        train(config, folder / "parts", stop_after=steps)
    assert any("path_length_mean" in name for name in values_of(folder / "whole"))
    assert_same(folder / "parts", folder / "whole")
    # Of a lazy regulariser too, although it was last paid before the stop.
    whole_metrics, parts_metrics = metrics_in(folder / "whole"), metrics_in(folder / "parts")
    assert "path_length" in whole_metrics
    assert whole_metrics == parts_metrics


@pytest.mark.slow
def test_a_run_whose_losses_are_scaled_and_whose_batches_are_divided_resumes_bit_for_bit(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Factors that are halved before the stop, and doubled after it.
    monkeypatch.setattr(loss_scale, "START", 2.0**20)
    monkeypatch.setattr(loss_scale, "PATIENCE", 8)
    config = tiny(
        objective=LAZY,
        schedule={"hold_images": 64, "fade_images": 64},
        run={"precision": "mixed_float16", "micro_batch": 4},
    )
    with Reuse().patched():  # Others have other factors.
        assert_resumes(config, tmp_path, 2, 5)
    variables = values_of(tmp_path / "whole")
    for network in ("generator", "critic"):
        [name] = [name for name in variables if f"{network}_loss_scale" in name]
        print(name, variables[name])
        assert variables[name] != 2.0**20
        assert any(f"{network}_good_updates" in name for name in variables)


@pytest.mark.slow
def test_so_does_one_with_lazy_regularisers_that_grows(
    tiny: Callable[..., Config], tmp_path: Path
) -> None:
    schedule = {"hold_images": 64, "fade_images": 64}
    assert_resumes(tiny(objective=LAZY, schedule=schedule), tmp_path, 2, 3, 4)


MIRRORED = """
import sys
from pathlib import Path
from pipeline.config import Config
from pipeline.data.prepare import records_for
from pipeline.training.distributed.replicas import make_logical_devices, make_strategy
from tests.pipeline.training.runs import trainer_of
from tests.pipeline.training.reuse import REUSE
config, folder = Config.model_validate_json(sys.argv[1]), Path(sys.argv[2])
make_logical_devices(config.run)
records = records_for(config.data, config.schedule.build().resolutions)
strategy = make_strategy(config)
for name, stop_after in (("whole", 1000), ("parts", 3), ("parts", 1000)):
    calls = iter(range(2000))
    with REUSE.patched():
        trainer = trainer_of(config, records, folder / name, [], strategy)
        trainer.train(lambda: next(calls) >= stop_after)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {},
        pytest.param({"precision": "mixed_float16", "micro_batch": 4}, marks=pytest.mark.thorough),
    ],
)
def test_two_replicas_resume_with_lazy_regularisers(
    python: str, tiny: Callable[..., Config], tmp_path: Path, more: dict[str, Any]
) -> None:
    # Two phases, and both regularisers are due in the step after the restart.
    schedule = {"hold_images": {4: 64, 8: 0}, "fade_images": 64, "batch_size": 16}
    run = {"strategy": "mirrored", "replicas": 2, **more}
    config = tiny(objective=LAZY, schedule=schedule, run=run)
    # In a process with one strategy: two in one mix up their collectives.
    command = [python, "-c", MIRRORED, config.model_dump_json(), str(tmp_path)]
    subprocess.run(command, capture_output=True, check=True, cwd=ROOT)
    assert_same(tmp_path / "parts", tmp_path / "whole")
