"""When a row of readings becomes an alarm, and when it ends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Streak:
    """State of one alarm: raised or not, and how many readings in a row contradict that.

    Args:
        standing: Whether it stands.
        against: Newest readings in a row that are bad while it does not stand, or good while it
            does.
    """

    standing: bool = False
    against: int = 0

    @property
    def quiet(self) -> bool:
        """Return whether the alarm is neither raised nor close to it."""
        return not self.standing and not self.against

    def after(self, *, bad: bool, patience: int) -> Streak:
        """The streak after one more reading; the alarm turns after `patience` of them."""
        if bad == self.standing:
            return Streak(self.standing)
        if self.against + 1 >= patience:
            return Streak(bad)
        return Streak(self.standing, self.against + 1)
