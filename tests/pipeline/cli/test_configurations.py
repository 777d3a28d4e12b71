"""`growgan presets` and `growgan config`."""

from __future__ import annotations

from tests.pipeline.cli.commands import Growgan


def test_presets_and_config_print_what_they_say(growgan: Growgan) -> None:
    listing = growgan("presets")
    assert listing.status == 0
    assert "quickstart" in listing.out
    shown = growgan("config", "quickstart", "--set", "run.seed=4")
    assert shown.status == 0
    assert "seed: 4" in shown.out
