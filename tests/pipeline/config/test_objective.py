"""The section `objective`: what contradicts itself is refused, in one line."""

from __future__ import annotations

import pytest

from pipeline.errors import UserError
from pipeline.loading import config_from

MINIMAL = "schedule: {resolution: 8}"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss=ns"], "`objective.loss` must be 'wasserstein', 'logistic'.*Received: ns"),
        (
            ["loss=hinge", "penalty=none", "weight_clip=1"],
            "`objective.weight_clip` needs `objective.loss=wasserstein`.*hin",
        ),
        (["weight_clip=1"], "replaces the gradient penalty.*`objective.penalty=none`.*two_sided"),
        (["weight_clip=0"], "`objective.weight_clip` must be greater than 0. Received: 0"),
        (["penalty=none"], "`objective.loss=wasserstein` must be bounded by.*Received: none"),
        (["penalty_weight=0"], "must be bounded by"),
        (
            ["loss=hinge", "penalty=none", "penalty_every=16"],
            "`objective.penalty_every` above 1 needs.*Received: 16 without any",
        ),
        (["critic_steps=0"], "`objective.critic_steps` must be greater than or equal to 1"),
        (["path_length_decay=0"], "`objective.path_length_decay` must be greater than 0"),
        (["r1=-1"], "`objective.r1` must be greater than or equal to 0. Received: -1"),
        (["gradient_penalty=1"], "is no known key"),
    ],
)
def test_objectives_that_contradict_themselves_are_refused(
    overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        config_from(MINIMAL, [f"objective.{override}" for override in overrides], origin="test")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["penalty=none", "weight_clip=1"],
        ["penalty=none", "r1=1"],
        ["loss=hinge", "penalty=two_sided"],
        ["loss=logistic", "penalty=none", "r1=10", "penalty_every=16"],
    ],
)
def test_objectives_that_do_not_are_taken(overrides: list[str]) -> None:
    config_from(MINIMAL, [f"objective.{override}" for override in overrides], origin="test")
