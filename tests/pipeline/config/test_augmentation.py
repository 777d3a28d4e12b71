"""The section `augmentation`: what is refused, in one line, and what a pipeline holds."""

from __future__ import annotations

import pytest
import yaml

from pipeline.config import PIPELINES, AugmentationConfig
from pipeline.errors import UserError
from pipeline.loading import config_from, differences

MINIMAL = "schedule: {resolution: 8}"
ADA = ("augmentation.kind=ada", "objective.loss=logistic")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["kind=adaptive"], "`augmentation.kind` must be 'none', 'ada' or 'diffaugment'"),
        (["target=0.5"], r"`augmentation\.target` needs .*kind=ada`\. Received: 0\.5 and none"),
        (["kind=diffaugment", "pipeline=bg"], "`augmentation.pipeline` needs .*kind=ada`"),
        (["kind=ada", "policy=[color]"], "`augmentation.policy` needs .*kind=diffaugment`"),
        (["kind=diffaugment", "policy=[]"], "`augmentation.policy` .*at least 1 item"),
        (["kind=diffaugment", "policy=[color, color]"], "once. Received: color, color"),
        (["kind=ada", "probability=1.5"], "`augmentation.probability` must be less than or equal"),
        (["kind=ada", "probability=0.2", "target=0.5"], "`augmentation.target` steers p, which"),
        (
            ["kind=ada", "pipeline=bg", "multipliers={hue: 0.5}"],
            "`augmentation.multipliers` must name transforms of .* Received: hue and bg",
        ),
        (["kind=ada", "multipliers={huge: 0.5}"], "`augmentation.multipliers` must be .*huge"),
        (["kind=ada"], "logistic, minimax, hinge; with others fix .* Received: wasserstein"),
    ],
)
def test_what_makes_no_sense_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        config_from(MINIMAL, [f"augmentation.{each}" for each in overrides], origin="test")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ADA,
        (*ADA, "augmentation.pipeline=bgcfnc", "augmentation.multipliers={rotate90: 0}"),
        ("augmentation.kind=ada", "augmentation.probability=0.3"),
        ("augmentation.kind=diffaugment", "augmentation.policy=[translation]"),
    ],
)
def test_what_makes_sense_is_taken_and_survives_its_own_dump(overrides: tuple[str, ...]) -> None:
    config = config_from(MINIMAL, overrides, origin="test")
    assert config.augmentation.kind != "none"
    dumped = yaml.safe_dump(config.model_dump(mode="json"))
    assert config_from(dumped, origin="dump") == config
    changes = differences(config_from(MINIMAL, origin="test"), config)
    assert any(change.startswith("augmentation.kind: none") for change in changes)


def test_shares_are_those_of_the_pipeline() -> None:
    settings = AugmentationConfig(kind="ada", pipeline="bg", multipliers={"xint": 0, "scale": 0.5})
    assert settings.shares() == {
        "xflip": 1,
        "rotate90": 1,
        "scale": 0.5,
        "rotate": 1,
        "aniso": 1,
        "xfrac": 1,
    }


def test_pipelines_are_those_of_the_official_code() -> None:
    singles = {"b": "blit", "g": "geom", "c": "color", "f": "filter", "n": "noise"}
    assert set(PIPELINES) == {*singles.values(), "cutout", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc"}
    for name in ("bg", "bgc", "bgcf", "bgcfn"):
        parts = [PIPELINES[singles[letter]] for letter in name]
        assert PIPELINES[name] == tuple(transform for part in parts for transform in part)
    assert PIPELINES["bgcfnc"] == (*PIPELINES["bgcfn"], *PIPELINES["cutout"])
    assert len(PIPELINES["bgcfnc"]) == 15
