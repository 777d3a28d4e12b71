import shutil
from functools import cache
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.checking.contract import Contract, ShiftRules, derive_contract
from pipeline.data.checking.contract_file import read_contract, write_contract
from pipeline.data.checking.report import Survey
from pipeline.data.checking.survey import survey
from pipeline.errors import UserError


@cache
def survey_of_digits() -> Survey:
    return survey("digits")


@pytest.fixture
def digits() -> Survey:
    return survey_of_digits()


def changed(found: Survey, **parts: Any) -> Survey:
    """A survey with other numbers; `sizes__width` is the part `width` of its part `sizes`."""
    for path, value in parts.items():
        name, _, inner = path.partition("__")
        if inner:
            value = changed(getattr(found, name), **{inner: value})
        found = found.model_copy(update={name: value})
    return found


RULES = [
    ({"channels": "rgb"}, {}, "`channels` must be rgb. Received: grey, with 1 of them grey"),
    ({"modes": ("RGB", "P")}, {}, "`modes` must be some of RGB, P. Received: L (1797)"),
    ({"labelled": False}, {}, "`labelled` must be False. Received: 0 without a class"),
    ({"labelled": True}, {"unlabelled": 2}, "`labelled` must be True. Received: 2 without"),
    ({"classes": ("0", "x")}, {"classes": {"0": 9, "1": 9}},
     "`classes` must be the 2 stated. Received: new 1, no x"),
    ({"classes": ()}, {}, "Received: new 0, 1, 2, 3, 4 and 5 more"),
    ({"least_pictures": 1798}, {}, "`least_pictures` must be at least 1798. Received: 1797"),
    ({"least_side": 9}, {}, "`least_side` must be at least 9. Received: 8"),
    ({"most_side": 7}, {}, "`most_side` must be at most 7. Received: 8"),
    ({"least_aspect_ratio": 1.01}, {}, "`least_aspect_ratio` must be at least 1.01. Received: 1"),
    ({"most_aspect_ratio": 0.99}, {}, "`most_aspect_ratio` must be at most 0.99. Received: 1"),
    ({"most_corrupt": 0.09}, {"corrupt": (("x", "bad"),), "pictures": 10},
     "`most_corrupt` must be at most 0.09. Received: 0.1"),
    ({"most_duplicates": 0.19}, {"exact_duplicates": (("a", "b", "c"),), "readable": 10},
     "`most_duplicates` must be at most 0.19. Received: 0.2"),
    ({"class_shares": {"0": (0.2, 0.5)}}, {}, "`class_shares.0` must be at least 0.2. Rec"),
    ({"class_shares": {"0": (0, 0.01)}}, {}, "`class_shares.0` must be at most 0.01. Rec"),
    ({"class_shares": {"x": (0.1, 1)}}, {}, "`class_shares.x` must be at least 0.1. Received: 0"),
    ({"least_colour": (0, 99, 0)}, {}, "`least_colour.green` must be at least 99. Received: 77.85"),
    ({"most_colour": (255, 255, 9)}, {}, "`most_colour.blue` must be at most 9. Received: 77.85"),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "parts", "reason"), RULES)
def test_a_broken_rule_is_named_with_what_came(digits, rules, parts, reason) -> None:
    [found] = Contract(**rules).broken_by(changed(digits, **parts))
    assert reason in found


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"least_side": 10}, "Received: 4, as in tiny.png"),
        ({"most_side": 32}, "Received: 64, as in wide.png"),
        ({"least_aspect_ratio": 1}, "Received: 0.75, as in tall.png"),
        ({"most_aspect_ratio": 2}, "Received: 4, as in wide.png"),
        ({"modes": ("L",)}, "Received: RGB (1), as in wide.png"),
        ({"most_duplicates": 0}, "as in usual.png"),
        ({"most_corrupt": 0}, "as in torn.png"),
        ({"labelled": True}, "Received: 5 without a class, as in copy.png, tall.png, tiny.png"),
    ],
)
def test_pictures_that_break_a_rule_are_named(
    odd: Survey, rules: dict[str, Any], told: str
) -> None:
    [reason] = Contract(**rules).broken_by(odd)
    assert told in reason


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """Return the survey of pictures that are all outliers, and of one that cannot be read."""
    folder = tmp_path_factory.mktemp("odd")
    sizes = {"usual": (16, 16), "tiny": (4, 4), "wide": (64, 16), "tall": (12, 16)}
    for name, size in sizes.items():
        mode = "RGB" if name == "wide" else "L"
        PIL.Image.effect_noise(size, 64).convert(mode).save(folder / f"{name}.png")
    shutil.copy(folder / "usual.png", folder / "copy.png")
    (folder / "torn.png").write_bytes((folder / "usual.png").read_bytes()[:60])
    return survey(str(folder), workers=1)


def test_no_rules_are_never_broken(digits: Survey) -> None:
    assert Contract().broken_by(digits) == []


def test_every_broken_rule_is_told(digits: Survey) -> None:
    contract = Contract(channels="rgb", least_side=9, most_side=7, least_pictures=2000)
    assert [reason.split("`")[1] for reason in contract.broken_by(digits)] == [
        "channels", "least_pictures", "least_side", "most_side",
    ]  # fmt: skip


def test_shift_is_bounded_by_a_reference(digits: Survey) -> None:
    rules = ShiftRules(reference="x", most_colour=0.2, most_class_shares=0.05, most_features=0.3)
    contract = Contract(shift=rules)
    assert contract.broken_by(digits, digits) == []
    lighter = changed(
        digits,
        colours__mean=tuple(level + 30 for level in digits.colours.mean),
        features__mean=tuple(value + 0.1 for value in digits.features.mean),
        classes={**digits.classes, "0": 0},
        unlabelled=digits.classes["0"],
    )
    colour, shares, features = contract.broken_by(lighter, digits)
    assert colour.startswith("`shift.most_colour` must be at most 0.2. Received: 0.31")
    assert shares.startswith("`shift.most_class_shares` must be at most 0.05. Received: 0.099")
    assert features.startswith("`shift.most_features` must be at most 0.3. Received: ")


def test_a_set_keeps_the_contract_derived_from_it(digits: Survey) -> None:
    contract = derive_contract(digits, "digits.json")
    assert contract.broken_by(digits, digits) == []
    assert contract.classes == tuple("0123456789")
    assert contract.least_pictures == 1617
    assert (contract.least_side, contract.most_side) == (8, 8)
    assert contract.most_corrupt == contract.most_duplicates == 0.01
    assert contract.shift is not None


@settings(max_examples=50, deadline=None)
@given(
    sides=st.tuples(st.integers(1, 5000), st.integers(0, 5000)),
    ratios=st.tuples(st.floats(0.01, 100), st.floats(1, 10)),
    level=st.floats(0, 255),
    std=st.floats(0, 127),
    counts=st.lists(st.integers(0, 10**6), max_size=6),
    bad=st.integers(0, 50),
)
def test_any_set_keeps_the_contract_derived_from_it(sides, ratios, level, std, counts, bad) -> None:
    found = changed(
        survey_of_digits(),  # as an argument it would fill pages of messages
        sizes__shortest_side__least=float(sides[0]),
        sizes__longest_side__most=float(sum(sides)),
        sizes__aspect_ratio__least=ratios[0],
        sizes__aspect_ratio__most=ratios[0] * ratios[1],
        colours__mean=(level, level, level),
        colours__std=(std, std, std),
        classes={str(number): count for number, count in enumerate(counts)},
        readable=max(1, sum(counts)),
        pictures=max(1, sum(counts)) + bad,
        corrupt=(("x", "y"),) * bad,
        exact_duplicates=(("a", "b"),) * min(bad, sum(counts) // 2),
    )
    assert derive_contract(found, "x").broken_by(found, found) == []


def test_other_sets_break_it(digits: Survey) -> None:
    rules = {
        reason.split("`")[1]
        for reason in derive_contract(digits, "x").broken_by(survey("glyphs:32x900"))
    }
    assert {"channels", "modes", "classes", "least_pictures", "most_side"} <= rules


def test_what_is_written_is_read_again(digits: Survey, tmp_path: Path) -> None:
    path = tmp_path / "new" / "digits.yaml"
    write_contract(path, digits)
    assert {file.name for file in path.parent.iterdir()} == {
        "digits.yaml", "digits.reference.json",
    }  # fmt: skip
    assert read_contract(path) == (derive_contract(digits, "digits.reference.json"), digits)
    text = path.read_text()
    assert "# Exact names of the classes.\nclasses: ['0', '1'," in text
    assert "\nshift:\n  # Report of the reference set" in text
    assert max(map(len, text.splitlines())) <= 100
    # The pair may be moved.
    path.parent.rename(tmp_path / "moved")
    assert read_contract(tmp_path / "moved" / "digits.yaml")[1] == digits


def test_rules_can_be_deleted(digits: Survey, tmp_path: Path) -> None:
    path = tmp_path / "digits.yaml"
    write_contract(path, digits)
    values = yaml.safe_load(path.read_text())
    del values["shift"], values["classes"]
    path.write_text(yaml.safe_dump(values))
    contract, reference = read_contract(path)
    assert contract.classes is reference is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("a: [", "must be a readable YAML file"),
        ("\x00", "must be a readable YAML file"),
        ("", "`all of it`: input should be"),
        ("- 1", "`all of it`: input should be"),
        ("least_picture: 1", "`least_picture`: extra inputs are not permitted"),
        ("least_pictures: -1", "`least_pictures`: input should be greater than or equal to 0"),
        ("least_side: many", "`least_side`: input should be a valid integer"),
        ("most_corrupt: 2", "`most_corrupt`: input should be less than or equal to 1"),
        ("format_version: 2", "`format_version`: input should be 1"),
        ("class_shares: {a: [0.1]}", "`class_shares.a.1`: field required"),
        ("shift: {most_colour: 1}", "`shift.reference`: field required"),
        ("shift: {reference: none.json}", "none.json"),
    ],
)
def test_what_is_no_contract_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "contract.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_contract(path)
    assert message in str(caught.value)
    assert "Received: " in str(caught.value)
    assert "\n" not in str(caught.value)
