"""The section `alarms`: what cannot be chosen."""

from __future__ import annotations

import pytest

from pipeline.errors import UserError
from pipeline.loading import load


@pytest.mark.parametrize("alarm", ["throughput", "starvation"])
def test_what_depends_on_the_machine_is_not_rolled_back(alarm: str) -> None:
    with pytest.raises(UserError, match=rf"`alarms.{alarm}` must be .*Received: roll_back$"):
        load("quickstart", [f"alarms.{alarm}=roll_back"])


def test_what_is_not_finite_cannot_be_ignored() -> None:
    with pytest.raises(UserError, match=r"`alarms.non_finite` must be .*Received: ignore$"):
        load("quickstart", ["alarms.non_finite=ignore"])
