"""The schedule against the official formula, written out from the paper's own code's behaviour."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.schedule import Phase, Schedule, at_resolution, progressive


def official(images: int, *, final: int, start: int, hold: int, fade: int) -> tuple[int, float]:
    """Resolution and level of detail after so many images, counted down from the final size."""
    phase, into = divmod(images, hold + fade)
    level = math.log2(final) - math.floor(math.log2(start)) - phase
    if fade > 0:
        level -= max(into - hold, 0.0) / fade
    level = max(level, 0.0)
    return 2 ** int(math.log2(final) - math.floor(level)), level


def level_of_detail(schedule: Schedule, images: int, final: int) -> tuple[int, float]:
    progress = schedule.at(images)
    size = progress.phase.resolution
    return size, math.log2(final // size) + (1.0 - progress.alpha)


@given(
    images=st.integers(0, 20_000),
    start=st.sampled_from([4, 8]),
    doublings=st.integers(0, 5),
    hold=st.integers(1, 900),
    fade=st.integers(0, 900),
)
def test_is_the_official_schedule_at_every_image_count(
    images: int, start: int, doublings: int, hold: int, fade: int
) -> None:
    final = start * 2**doublings
    schedule = progressive(
        resolution=final, start_resolution=start, hold_images=hold, fade_images=fade
    )
    size, level = level_of_detail(schedule, images, final)
    official_size, official_level = official(images, final=final, start=start, hold=hold, fade=fade)
    assert level == pytest.approx(official_level, abs=1e-9)
    assert size == official_size


def test_every_image_count_of_a_short_official_schedule() -> None:
    schedule = progressive(resolution=32, hold_images=60, fade_images=40)
    for images in range(schedule.total_images + 50):
        size, level = level_of_detail(schedule, images, 32)
        expected_size, expected_level = official(images, final=32, start=4, hold=60, fade=40)
        assert (size, level) == (expected_size, pytest.approx(expected_level, abs=1e-12)), images


def test_paper_schedule_to_1024() -> None:
    schedule = progressive(resolution=1024)
    last_fade = schedule.phases[-2]
    assert last_fade.name == "fade_1024x1024"
    assert schedule.starts[-1] == 9_600_000
    assert schedule.total_images == 10_200_000
    to_32 = progressive(resolution=32)
    assert to_32.starts[-1] == 3_600_000


def test_one_gpu_batches_and_rates_of_the_paper() -> None:
    schedule = progressive(
        resolution=1024,
        batch_size={4: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4},
        learning_rate={4: 0.001, 1024: 0.0015},
    )
    batches = {phase.resolution: phase.batch_size for phase in schedule.phases}
    assert batches == {4: 128, 8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4, 1024: 4}
    assert {p.learning_rate for p in schedule.phases if p.resolution < 1024} == {0.001}
    assert {p.learning_rate for p in schedule.phases if p.resolution == 1024} == {0.0015}


def test_a_new_size_has_its_batch_and_rate_from_the_first_image_of_its_fade() -> None:
    schedule = progressive(resolution=8, hold_images=10, fade_images=10, batch_size={4: 4, 8: 2})
    assert schedule.at(10).phase.batch_size == 4  # alpha would be 0: still the hold
    assert schedule.at(11).phase == Phase(8, True, 10, 2, 0.001)


def test_alpha_rises_from_0_to_1_through_a_fade() -> None:
    schedule = progressive(resolution=8, hold_images=100, fade_images=200)
    alphas = [schedule.at(images).alpha for images in range(101, 300)]
    assert alphas[0] == 1 / 200
    assert alphas == sorted(alphas)
    assert schedule.at(300).alpha == 1.0
    assert not schedule.at(300).phase.fading


def test_the_last_phase_goes_on() -> None:
    schedule = progressive(resolution=8, hold_images=10, fade_images=10)
    assert schedule.at(10**9) == schedule.at(schedule.total_images)


def test_phases_without_images_are_left_out() -> None:
    schedule = progressive(resolution=16, hold_images={4: 10, 8: 0, 16: 5}, fade_images=20)
    assert [phase.name for phase in schedule.phases] == [
        "hold_4x4",
        "fade_8x8",
        "fade_16x16",
        "hold_16x16",
    ]
    assert schedule.resolutions == (4, 8, 16)


def test_negative_clock_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must not be negative\. Received: -1"):
        progressive(resolution=4).at(-1)


def test_a_value_holds_from_its_resolution_on() -> None:
    value = {4: "a", 32: "b"}
    assert [at_resolution(value, size) for size in (4, 16, 32, 1024)] == ["a", "a", "b", "b"]
    assert at_resolution("c", 64) == "c"


def test_a_missing_first_value_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at or below 4\. Received: \{8: 1\}"):
        at_resolution({8: 1}, 4)


@given(
    batch=st.integers(1, 50),
    batches=st.integers(1, 3),
    doublings=st.integers(0, 3),
    hold=st.integers(1, 90),
    fade=st.integers(0, 90),
)
def test_steps_are_those_that_a_run_makes(
    batch: int, batches: int, doublings: int, hold: int, fade: int
) -> None:
    schedule = progressive(
        resolution=4 * 2**doublings, hold_images=hold, fade_images=fade, batch_size={4: batch, 8: 7}
    )
    made = [0] * len(schedule.phases)
    images_seen = 0
    while images_seen < schedule.total_images:
        progress = schedule.at(images_seen)
        made[progress.index] += 1
        images_seen += progress.phase.batch_size * batches
    assert schedule.steps(batches) == tuple(made)
