"""Turn readings into alarms, and decide whether to warn, stop or roll back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.config import AlarmsConfig
from pipeline.errors import AlarmError
from pipeline.training.alarms.thresholds import Reading, Streak, timing_readings
from pipeline.training.position import RollBack

REPEATABLE = (
    "collapse",
    "saturation",
    "penalty_norm",
    "exploding_gradients",
    "vanishing_gradients",
)
"""Alarms that depend on the weights and data only: the same after a restart and on each worker."""
TIMED = ("throughput", "starvation")
"""Alarms that depend on the speed of the machine; checkpoints do not hold their state."""


def faults_of(settings: AlarmsConfig) -> list[str]:
    """List the alarms whose action is to roll back."""
    return [name for name in REPEATABLE if getattr(settings, name) == "roll_back"]


@dataclass(frozen=True)
class Alarm:
    """Alarm that has begun or ended."""

    name: str  # Name as in the section `alarms`
    state: Literal["begun", "ended"]  # State of the alarm, `begun` or `ended`
    action: str  # Action in the configuration
    quantity: str  # Measured quantity, or the tensor that is not finite
    value: float | None  # Measured value, None for a tensor
    bound: float | None  # Bound of the value, None for a tensor
    text: str  # Rule and received value, in one line

    def __str__(self) -> str:
        return f"alarm {self.name}{' has ended' if self.state == 'ended' else ''}: {self.text}"


class RollBackError(Exception):
    """Error by which an alarm makes the trainer roll back; `roll_backs` are the earlier ones."""

    def __init__(self, alarm: Alarm, images_seen: int, roll_backs: Sequence[RollBack]) -> None:
        super().__init__(str(alarm))
        self.alarm = alarm
        self.images_seen = images_seen
        self.roll_backs = tuple(roll_backs)


class Monitor:
    """State of a run's alarms, which readings update.

    Args:
        settings: Actions and bounds of the alarms.
        streaks: State of alarms from a checkpoint, by name.
    """

    def __init__(self, settings: AlarmsConfig, streaks: Mapping[str, Streak]) -> None:
        self._settings = settings
        self._streaks = dict(streaks)
        self._bad: dict[str, Alarm] = {}
        self._rates: list[float] = []

    @property
    def streaks(self) -> dict[str, Streak]:
        """State for a checkpoint, of the repeatable alarms that are raised or may soon be."""
        return {
            name: self._streaks[name]
            for name in REPEATABLE
            if name in self._streaks and not self._streaks[name].quiet
        }

    @property
    def standing(self) -> dict[str, bool]:
        """Watched alarms, and whether each is raised."""
        return {
            name: self._streaks.get(name, Streak()).standing
            for name in (*REPEATABLE, *TIMED)
            if self._action(name) != "ignore"
        }

    def phase_started(self) -> None:
        """Forget the throughput of the previous phase, whose images had another size."""
        self._rates = []

    def logged(
        self, readings: Sequence[Reading], rate: float, data_wait: float, longest_wait: float
    ) -> list[Alarm]:
        """Return the alarms that begin or end with a log entry; see `timing_readings`."""
        settings = self._settings
        timed = timing_readings(rate, self._rates, data_wait, longest_wait, settings)
        # Append the rate last: it must not be compared with itself.
        if rate:
            self._rates.append(rate)
        return self.follow([*readings, *timed])

    @property
    def bad(self) -> list[Alarm]:
        """Raised alarms whose newest reading is bad."""
        return [alarm for name, alarm in self._bad.items() if self._streaks[name].standing]

    def _action(self, name: str) -> str:
        action: str = getattr(self._settings, name)
        return action

    def follow(self, readings: Iterable[Reading]) -> list[Alarm]:
        """Update the alarms by readings, and return those that begin or end."""
        news = []
        for reading in readings:
            name, action = reading.alarm, self._action(reading.alarm)
            if action == "ignore":
                # Drop its state, which a checkpoint may hold from before the alarm was ignored.
                self._streaks.pop(name, None)
                continue
            before = self._streaks.get(name, Streak())
            patience = 1 if reading.at_once else self._settings.patience
            after = self._streaks[name] = before.after(bad=reading.bad, patience=patience)
            alarm = Alarm(
                name,
                "begun" if after.standing else "ended",
                action,
                reading.quantity,
                reading.value,
                reading.bound,
                str(reading),
            )
            self._bad.pop(name, None)
            if reading.bad:
                self._bad[name] = alarm
            if after.standing != before.standing:
                news.append(alarm)
        return news


def non_finite(tensor: str, settings: AlarmsConfig) -> Alarm:
    """Make the alarm for a tensor that is not finite."""
    text = f"every tensor must be finite. Received: `{tensor}`, which is not"
    return Alarm("non_finite", "begun", settings.non_finite, tensor, None, None, text)


def act(
    alarms: Sequence[Alarm], images_seen: int, roll_backs: Sequence[RollBack], max_roll_backs: int
) -> None:
    """Stop the run or roll it back, as the actions of alarms ask; stop after `max_roll_backs`.

    Raises:
        AlarmError: if an alarm stops the run.
        RollBackError: if none stops it, and one rolls it back.
    """
    # Look for a stop in all alarms first: it goes before a roll back.
    for alarm in alarms:
        if alarm.action == "stop" or (
            alarm.action == "roll_back" and len(roll_backs) >= max_roll_backs
        ):
            after = f" and {len(roll_backs)} roll backs" if roll_backs else ""
            raise AlarmError(
                f"{alarm}, after {images_seen} images{after}. The run is stopped; its last good "
                "checkpoint is kept"
            )
    for alarm in alarms:
        if alarm.action == "roll_back":
            raise RollBackError(alarm, images_seen, roll_backs)
