"""Sections that have to fit each other."""

from __future__ import annotations

import pytest

from pipeline.errors import UserError
from pipeline.loading import config_from

MINIMAL = "schedule: {resolution: 8}"


def test_micro_batches_of_less_than_a_group_are_refused() -> None:
    with pytest.raises(UserError, match=r"at least `network.stddev_group`.*Received: 2 and 4"):
        config_from(MINIMAL, ["run.micro_batch=2"], origin="test")
    config_from(MINIMAL, ["run.micro_batch=2", "network.stddev_group=2"], origin="test")
