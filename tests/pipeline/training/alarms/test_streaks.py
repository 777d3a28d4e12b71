"""An alarm turns after so many readings in a row, in both directions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.alarms.thresholds import Streak


@given(st.lists(st.booleans()), st.integers(1, 4))
def test_an_alarm_turns_where_so_many_readings_in_a_row_speak_against_it(
    readings: list[bool], patience: int
) -> None:
    streak, standing = Streak(), False
    for number, bad in enumerate(readings):
        streak = streak.after(bad=bad, patience=patience)
        newest = readings[max(0, number + 1 - patience) : number + 1]
        if len(newest) == patience and len(set(newest)) == 1:
            standing = newest[0]
        assert streak.standing == standing
        # Quiet is what no bad reading has come before, but for ones that good ones ended.
        assert streak.quiet == (not standing and not bad)
