"""Configurations: presets, files, overrides, and one line for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.loading import (
    config_from,
    decisive_settings,
    differences,
    is_chosen,
    load,
    preset_names,
    preset_text,
)

MINIMAL = "schedule: {resolution: 8}"


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_a_valid_configuration_with_a_first_line_that_says_what_it_is(
    name: str,
) -> None:
    assert preset_text(name).startswith("# ")
    assert load(name).schedule.resolution >= 16


def test_a_configuration_survives_its_own_dump() -> None:
    import yaml

    config = load("progan-mnist32", data="mnist/")
    assert config_from(yaml.safe_dump(config.model_dump(mode="json")), origin="dump") == config


def test_overrides_win_and_data_wins_over_them() -> None:
    config = load(
        "quickstart",
        ["run.seed=3", "schedule.batch_size={4: 32, 16: 8}", "data.source=a"],
        data="b: c",
    )
    assert config.run.seed == 3
    assert config.schedule.batch_size == {4: 32, 16: 8}
    assert config.data.source == "b: c"


def test_what_a_person_has_chosen_is_told_from_what_a_preset_says() -> None:
    for overrides in (["data.channels=1"], [" data.channels =1"], [("data.channels", 1)]):
        assert is_chosen("quickstart", overrides, "data.channels")
    assert not is_chosen("quickstart", ["data.mirror=true"], "data.channels")
    assert is_chosen("mine.yaml", [], "data.channels")


@pytest.mark.parametrize(
    "value",
    [
        *("My Drive/" + "pictures of old houses " * 9, "feat/set #2", "a: b", "[x]", "{x: y}"),
        *("yes", "null", "1e3", "010", "'quoted'", "- x", "a\nb", "&x", "!x", "ünter", "\x1b[1m"),
    ],
)
def test_a_value_that_is_given_as_it_is_stays_as_it_is(value: str) -> None:
    assert load("quickstart", data=value).data.source == value
    config = load("quickstart", [("evaluation.features", value), ("data.records", value)])
    assert config.evaluation.features == value
    assert config.data.records == Path(value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["schedule.resolution=46", "schedule.start_resolution=46"],
            "such as 28x28 or 48x64. Received: 46 and 46",
        ),
        (
            ["schedule.resolution=48", "schedule.start_resolution=48"],
            "`network.family=progan` grows from 4 px and needs squares: .* Received: 48 and null",
        ),
        (
            ["schedule.start_resolution=16", "schedule.resolution=16", "schedule.width=32"],
            "grows from 4 px and needs squares: .* Received: 16 and 32",
        ),
        (
            ["schedule.resolution=16", "schedule.width=32"],
            "`schedule.width` needs images that do not grow: .* Received: 4 and 16",
        ),
        (
            ["schedule.resolution=48"],
            "must be powers of two from 4 to 1024, or the same if images do not grow. "
            "Received: 4 and 48",
        ),
        (
            ["schedule.resolution=2048"],
            "must be less than or equal to 1024. Received: 2048",
        ),
        (["schedule.resolution=big"], "`schedule.resolution` must be a valid integer.*big"),
        (
            ["schedule.resoluton=8"],
            r"`schedule.resoluton` is no known key \(did you mean "
            r"resolution\?\). Known here: batch_size",
        ),
        (["shedule.resolution=8"], r"did you mean schedule\?"),
        (
            ["schedule.batch_size=6"],
            "must be a multiple of `network.stddev_group`. Received: 6 at 4 px and 4",
        ),
        (["schedule.batch_size={8: 4}"], "`schedule.batch_size`: .*at or below 4"),
        (["schedule.start_resolution=16"], "must not exceed `schedule.resolution`. Received: 16"),
        (["schedule.hold_images=0", "schedule.fade_images=0"], "at least one image"),
        (["schedule.hold_images={4:64}"], r"^`schedule.hold_images` must be [^;]*: 4:64$"),
        (["schedule.learning_rate=-1"], "`schedule.learning_rate` must be greater than 0.*-1"),
        (["schedule.learning_rate=.nan"], "finite"),
        (["run.seed=-1"], "`run.seed` must be greater than or equal to 0. Received: -1"),
        (["data.channels=2"], "`data.channels` must be 1 or 3. Received: 2"),
        (["schedule.resolution=16", "network.fmap_base=7"], "at least 8. Received: 7"),
        (["no_equals_sign"], "`--set` must be section.key=value. Received: no_equals_sign"),
        (["run=3.x=4"], "`--set` must be section.key=value"),
        (["run.seed=[1"], "must be YAML. Received: run.seed="),
    ],
)
def test_a_mistake_is_one_line_that_states_the_rule_and_what_came(
    overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        config_from(MINIMAL, overrides, origin="test")
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(UserError, match=r"`schedule` must be set\. Received: nothing"):
        config_from("{}", origin="test")


@pytest.mark.parametrize("text", ["- a list", "just text", "a: [1", "!!python/object:os.system {}"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="a configuration must be") as caught:
        config_from(text, origin="test")
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_names_the_known_and_the_nearest() -> None:
    with pytest.raises(UserError, match=r"mnist32. Received: quikstart; did you mean quickstart\?"):
        load("quikstart")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must be a readable file. Received: .*none\.yaml"):
        load(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    "overrides", [["alarms.collapse=roll_back", "alarms.patience=1"], ["gate.max_fid=3"]]
)
def test_what_is_held_to_bounds_may_change_when_a_run_goes_on(overrides: list[str]) -> None:
    before, after = load("quickstart"), load("quickstart", overrides)
    assert before != after
    assert differences(before, after) == []


def test_what_decides_a_result_is_told_by_its_keys() -> None:
    decides = decisive_settings(load("quickstart", ["run.seed=5"]))
    assert decides["run.seed"] == 5
    assert {"network.fmap_max", "data.crop", "objective.loss"} < decides.keys()
    assert not {"run.log_images", "data.records", "alarms.patience", "gate.max_fid"} & set(decides)


def test_differences_name_only_what_changes_the_result() -> None:
    before = config_from(MINIMAL, origin="a")
    after = config_from(
        MINIMAL,
        ["run.seed=1", "run.log_images=7", "run.micro_batch=4", "network.fmap_max=8"],
        origin="b",
    )
    assert differences(before, before) == []
    assert differences(before, after) == ["network.fmap_max: 512 → 8", "run.seed: 0 → 1"]
