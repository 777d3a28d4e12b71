"""What is measured is held to its bound, and only where there is something to measure."""

from __future__ import annotations

import pytest

from pipeline.config import AlarmsConfig
from pipeline.training.alarms.thresholds import Reading, timing_readings
from pipeline.training.synthesis.readings import readings_of

SETTINGS = AlarmsConfig()
HEALTHY = {
    "critic_gradient_norm": 1.5,
    "generator_gradient_norm": 0.7,
    "penalty_norm": 0.9,
    "separation": 2.0,
}


def bad(readings: list[Reading]) -> list[str]:
    return [reading.alarm for reading in readings if reading.bad]


@pytest.mark.parametrize(
    ("changed", "alarms"),
    [
        ({}, []),
        ({"critic_gradient_norm": 1001.0}, ["exploding_gradients"]),
        ({"generator_gradient_norm": 1001.0}, ["exploding_gradients"]),
        ({"critic_gradient_norm": 9e-5}, ["vanishing_gradients"]),
        ({"generator_gradient_norm": 0.0}, ["vanishing_gradients"]),
        (
            {"critic_gradient_norm": 1e9, "generator_gradient_norm": 1e-9},
            ["exploding_gradients", "vanishing_gradients"],
        ),
        ({"separation": 6.1}, ["saturation"]),
        ({"separation": -99.0}, []),  # the discriminator is fooled, not too good
        ({"penalty_norm": 1.76}, ["penalty_norm"]),
        ({"penalty_norm": 0.24}, ["penalty_norm"]),
    ],
)
def test_an_entry_is_bad_beyond_its_bounds(changed: dict[str, float], alarms: list[str]) -> None:
    assert bad(readings_of({**HEALTHY, **changed}, SETTINGS, "two_sided")) == alarms


def test_a_one_sided_penalty_asks_for_no_least_norm_and_others_for_none() -> None:
    short, long = ({**HEALTHY, "penalty_norm": norm} for norm in (0.0, 9.0))
    assert bad(readings_of(short, SETTINGS, "one_sided")) == []
    assert bad(readings_of(long, SETTINGS, "one_sided")) == ["penalty_norm"]
    for penalty in ("zero_centred", "none"):
        assert bad(readings_of(long, SETTINGS, penalty)) == []


def test_what_was_not_measured_says_nothing() -> None:
    assert readings_of({}, SETTINGS, "two_sided") == []
    assert timing_readings(0.0, [100.0] * 9, 0.0, 0.0, SETTINGS) == []


def test_fakes_are_to_be_a_share_as_diverse_as_reals() -> None:
    assert bad(readings_of({"diversity": 0.39}, SETTINGS, "none")) == ["collapse"]
    assert bad(readings_of({"diversity": 0.41}, SETTINGS, "none")) == []


@pytest.mark.parametrize(
    ("rate", "earlier", "wait", "longest", "alarms"),
    [
        (100.0, [100.0] * 5, 0.1, 0.1, []),
        (39.0, [100.0] * 5, 0.1, 0.1, ["throughput"]),
        (39.0, [100.0, 30.0, 100.0, 5000.0, 100.0], 0.1, 0.1, ["throughput"]),
        (39.0, [100.0] * 4, 0.1, 0.1, []),  # too few to say what is usual
        (100.0, [], 0.51, 0.1, ["starvation"]),
        (100.0, [], 0.1, 601.0, ["starvation"]),
        (0.0, [], 0.0, 601.0, ["starvation"]),
    ],
)
def test_the_clock_is_held_to_the_median_and_to_the_waits(
    rate: float, earlier: list[float], wait: float, longest: float, alarms: list[str]
) -> None:
    assert bad(timing_readings(rate, earlier, wait, longest, SETTINGS)) == alarms


def test_a_reading_states_the_rule_and_what_came() -> None:
    [reading] = readings_of({"diversity": 0.031234}, SETTINGS, "none")
    assert str(reading) == ("`diversity` must be at least 0.4. Received: 0.03123")
