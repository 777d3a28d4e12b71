"""Position of a run: images seen, phase, and roll backs so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class RollBack:
    """Roll back of a run to an earlier checkpoint, to continue with other random numbers."""

    alarm: str  # Name of the alarm that caused the roll back
    at: int  # Images seen when the alarm was raised
    to: int  # Images seen at the checkpoint, 0 for the start of the run


@dataclass(frozen=True)
class Position:
    """Everything besides variables that determines the next step."""

    images_seen: int  # Number of real images that the run has trained on
    phase: int
    """Index of the phase whose models are trained. After the last step of a phase, it is still the
    index of that phase, although `images_seen` already belongs to the next one."""
    roll_backs: tuple[RollBack, ...] = ()
    """Roll backs so far, oldest first; their number changes random draws and learning rates."""

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Position:
        """Read the position from the JSON object of a checkpoint."""
        # Checkpoints of earlier versions have no roll backs.
        roll_backs = tuple(RollBack(**each) for each in state.get("roll_backs", ()))
        return cls(state["images_seen"], state["phase"], roll_backs)

    def advanced(self, images: int) -> Position:
        """Return the position after a step on `images` more images."""
        return replace(self, images_seen=self.images_seen + images)

    def in_phase(self, phase: int) -> Position:
        """Return the same position, in another phase."""
        return replace(self, phase=phase)
