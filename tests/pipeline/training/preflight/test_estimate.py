"""The plan of a run: estimates, a real step where they leave doubt, and refusal."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import tensorflow as tf

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.training.distributed.cluster import share_of_worker
from pipeline.training.preflight import estimate
from pipeline.training.preflight.costs import passes_of
from pipeline.training.preflight.estimate import GIB, at_once, estimate_run, estimates, require_fit
from pipeline.training.preflight.trial import Trial, run_trial

Trials = list[tuple[str, float]]


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> Trials:
    """In place of real steps: the phases that were tried, all of which took as much."""
    tried: Trials = []

    def measured(_: Config, phase: Any, *, seconds: float, **__: Any) -> Trial:
        tried.append((phase.name, seconds))
        return Trial(first_seconds=5.0, step_seconds=2.0, memory=3 * GIB)

    monkeypatch.setattr(estimate, "run_trial", measured)
    return tried


def test_phases_are_estimated_in_order(tiny: Callable[..., Config]) -> None:
    config = tiny()
    found = estimates(config, 0)
    assert [each.phase for each in found] == list(config.schedule.build().phases)
    assert [each.steps for each in found] == [9, 11, 12]
    # The second size has two more convolutions of 8 maps in each network.
    convolutions = 2 * (9 * 8 * 8 + 8)
    old, fading, held = (each.work.parameters for each in found)
    assert fading[0] - old[0] == convolutions + 8 + 1
    assert held[0] - old[0] == held[1] - old[1] == convolutions
    assert all(each.memory > 0 and each.seconds > 0 for each in found)
    assert found[0].memory < found[2].memory


def test_a_large_batch_at_a_small_size_may_be_the_largest_phase(
    tiny: Callable[..., Config],
) -> None:
    config = tiny(schedule={"resolution": 16, "batch_size": {4: 4096, 8: 8}})
    assert estimate_run(config, 0, free=math.inf).largest.phase.name == "hold_4x4"


def test_passes_are_those_of_the_algorithm(tiny: Callable[..., Config]) -> None:
    def passes(**objective: Any) -> tuple[float, float]:
        return passes_of(tiny(objective=objective).objective)

    assert passes() == (4, 14)
    assert passes(loss="logistic", penalty="none") == (4, 8)
    assert passes(loss="logistic", penalty="none", r1=1, r2=1, penalty_every=4) == (4, 11)
    assert passes(loss="relativistic_hinge") == (4, 15)
    assert passes(critic_steps=5) == (8, 62)
    assert passes(generator_steps=2) == (7, 16)
    assert passes(path_length=2, path_length_every=1) == (7, 14)


@pytest.mark.parametrize(
    ("share", "seconds", "measured"),
    [(0.5, None, False), (0.5, 3.0, True), (0.7, None, True), (1.9, None, True), (2.1, 3.0, False)],
)
def test_a_step_is_made_where_the_estimate_leaves_doubt_or_a_measurement_is_asked_for(
    tiny: Callable[..., Config],
    trials: Trials,
    share: float,
    seconds: float | None,
    measured: bool,
) -> None:
    config = tiny()
    free = max(each.memory for each in estimates(config, 0)) / share
    plan = estimate_run(config, 0, free=free, seconds=seconds)
    assert trials == ([("fade_8x8", seconds or 0.0)] if measured else [])
    assert (plan.measured is not None) == measured


def test_the_other_phases_are_told_in_proportion(
    tiny: Callable[..., Config], trials: Trials
) -> None:
    config = tiny()
    guesses = estimates(config, 0)
    plan = estimate_run(config, 0, free=math.inf, seconds=1.0)
    assert plan.largest.memory == 3 * GIB
    assert plan.largest.seconds == pytest.approx(11 * 2.0 + 3.0)
    for guess, each in zip(guesses, plan.phases, strict=True):
        ratio = guess.memory / guesses[1].memory
        assert each.memory == pytest.approx(ratio * plan.largest.memory)
        ratio = guess.seconds / guesses[1].seconds
        assert each.seconds - 3.0 == pytest.approx(ratio * (plan.largest.seconds - 3.0))


def test_a_phase_without_steps_is_not_tried(tiny: Callable[..., Config], trials: Trials) -> None:
    schedule = {"resolution": 16, "batch_size": 16, "hold_images": 32}
    config = tiny(schedule={**schedule, "fade_images": {4: 32, 16: 4}})
    plan = estimate_run(config, 0, free=math.inf, seconds=1.0)
    assert [each.phase.name for each in plan.phases if not each.steps] == ["fade_16x16"]
    assert trials == [("hold_16x16", 1.0)]


def test_what_does_not_fit_is_refused_in_one_line(
    tiny: Callable[..., Config], trials: Trials
) -> None:
    config = tiny()
    plan = estimate_run(config, 0, free=math.inf, seconds=1.0)
    require_fit(config, plan, 3 * GIB)
    with pytest.raises(
        UserError,
        match=r"fit in the 2\.0 GiB .* fade_8x8, .* 3\.0 GiB with 8 images at once; "
        r"no `run\.micro_batch` would fit$",
    ):
        require_fit(config, plan, 2 * GIB)


@pytest.mark.parametrize(
    ("gib", "fitting"), [(2.9, 24), (1.6, 16), (1.2, 8), (0.92, 4), (0.7, None)]
)
def test_the_largest_micro_batch_that_would_fit_is_told(
    tiny: Callable[..., Config], trials: Trials, gib: float, fitting: int | None
) -> None:
    """Of 48 images in whole groups of 4; by the estimates they take 3, 1.86, 1.48, 1.1 and 0.91."""
    config = tiny(schedule={"batch_size": 48, "resolution": 64}, network={"fmap_max": 128})
    plan = estimate_run(config, 0, free=math.inf, seconds=1.0)
    with pytest.raises(UserError) as caught:
        require_fit(config, plan, gib * GIB)
    way = f"`run.micro_batch={fitting}` would fit" if fitting else "no `run.micro_batch` would fit"
    assert str(caught.value).endswith(way)


def test_images_at_once_are_those_of_all_replicas_of_a_cpu(tiny: Callable[..., Config]) -> None:
    def together(**run: Any) -> int:
        config = tiny(schedule={"batch_size": 48}, run=run)
        return at_once(config, config.schedule.build().phases[0])

    assert together() == 48
    assert together(micro_batch=47) == 24
    assert together(micro_batch=8) == 8
    assert together(strategy="mirrored", replicas=2) == 48
    assert together(strategy="mirrored", replicas=2, micro_batch=8) == 16


def test_a_worker_divides_its_share_among_its_gpus(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 32 images two workers have 16 each, and each of their eight GPUs has 2."""
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind] * 8)
    config = tiny(schedule={"batch_size": 32}, run={"strategy": "multi_worker"})
    own = share_of_worker(config, 2, 8)
    assert at_once(own, own.schedule.build().phases[0]) == 2


def test_a_trial_that_dies_is_no_fit(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny()
    monkeypatch.setattr(estimate, "run_trial", lambda *_, **__: None)
    free = 1.1 * max(each.memory for each in estimates(config, 0))
    with pytest.raises(UserError, match="fade_8x8, which takes more with 8 images at once"):
        require_fit(config, estimate_run(config, 0, free=free), free)


@pytest.mark.slow
def test_a_process_that_is_killed_is_no_trial(tiny: Callable[..., Config]) -> None:
    config = tiny()
    phase = config.schedule.build().phases[0]
    assert run_trial(config, phase, label_size=0, prepare=partial(os._exit, 9)) is None


@pytest.mark.slow
def test_real_steps_are_measured(tiny: Callable[..., Config]) -> None:
    """Of a labelled run with lazy regularisers and several updates, whose batch takes memory."""
    objective = {"r1": 1.0, "penalty_every": 2, "critic_steps": 2}
    config = tiny(objective=objective, data={"labels": True}, run={"replicas": None})
    phase = replace(config.schedule.build().phases[-1], batch_size=1024, fading=True)
    found = run_trial(config, phase, label_size=10)
    assert found is not None
    assert found.first_seconds > found.step_seconds > 0
    held = 4 * 1024 * 8 * 8 * 8
    assert 0.3 * GIB + held < found.memory < 3 * GIB
