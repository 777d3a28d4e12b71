"""The section `network`: keys that a family has, and those that it has not."""

from __future__ import annotations

import pytest

from pipeline.errors import UserError
from pipeline.loading import config_from

MINIMAL = "schedule: {resolution: 8}"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["noise=false"],
            "`network.noise` must be left at True with `network.family=progan`, which has no such "
            "key. Received: False",
        ),
        (["mapping_layers=2"], "left at 8 with `network.family=progan`.*Received: 2"),
        (["family=stylegan2", "blur=false"], "left at True with `network.family=stylegan2`"),
        (
            ["family=stylegan", "styles=false", "mixing=0"],
            "`network.constant_input` must be false without `network.styles`.*Received: true",
        ),
        (
            ["family=stylegan", "styles=false", "constant_input=false"],
            "`network.mixing` must be 0 without `network.styles`.*Received: 0.9",
        ),
        (["family=stylegan", "mapping_layers=-1"], "greater than or equal to 0. Received: -1"),
        (["family=stylegan", "mixing=1.5"], "less than or equal to 1. Received: 1.5"),
        (
            ["family=stylegan3"],
            "`network.family` must be one of 'progan', 'stylegan', 'stylegan2'. Received: ",
        ),
    ],
)
def test_networks_that_a_family_does_not_have_are_refused(
    overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        config_from(MINIMAL, [f"network.{override}" for override in overrides], origin="test")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["family=progan", "noise=true", "style_size=512"],
        ["family=stylegan", "noise=false", "constant_input=false", "mixing=0"],
        ["family=stylegan", "styles=false", "constant_input=false", "mixing=0", "mapping_layers=0"],
        ["family=stylegan2", "noise=false", "mapping_layers=2", "mixing=0"],
    ],
)
def test_networks_that_a_family_has_are_taken(overrides: list[str]) -> None:
    one_size = "schedule: {resolution: 8, start_resolution: 8}"  # as `stylegan2` needs it
    config_from(one_size, [f"network.{override}" for override in overrides], origin="test")
