"""`growgan data check` as a person uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from rich.text import Text

from pipeline.cli import check_summary
from pipeline.data.checking.report import read_report
from pipeline.data.checking.survey import survey
from tests.pipeline.cli.commands import Growgan


@pytest.fixture
def check(growgan: Growgan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Growgan:
    """Run `growgan data check` in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return partial(growgan, "data", "check")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Make two classes of six pictures, one of them a copy, and a file that is none."""
    folder = tmp_path / "photos"
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(6):
            pixels = draw.integers(0, 256, (20, 24, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    (folder / "dog" / "5.png").write_bytes((folder / "dog" / "4.png").read_bytes())
    (folder / "dog" / "bad.jpg").write_text("no picture")
    return folder


def test_a_check_says_what_it_found_and_where_it_is(check: Growgan, photos: Path) -> None:
    result = check(photos)
    assert result.status == 0
    assert result.err == ""
    for text in (
        f"reading {photos}: 13/13",
        "pictures: 12 readable, 1 corrupt",
        "corrupt: dog/bad.jpg (cannot identify image file)",
        "sizes: width 24, height 20, width/height 1.2 to 1.2; shortest sides from 16 (12)",
        "stored as: PNG (12); RGB (12)",
        "classes: 2 of 6 pictures: cat, dog",
        "copies: 2 pictures in 1 group, such as dog/4.png = dog/5.png",
        "look alike: none",
        "resolution: 16, since 100 % have sides of at least 16",
        "labels: no, since a class needs 100",
        "report: checks/photos/report.json",
        "pictures: checks/photos/contact-sheet.png, at random and, row by row, of cat, dog",
        f"growgan data prepare {photos} sets/photos --resolution 16 --on-corrupt skip",
        "growgan train --config stylegan-eurosat64 --data sets/photos --set schedule.resolution=16",
    ):
        assert text in result.out
    assert read_report(Path("checks/photos")) == survey(str(photos))
    with Image.open("checks/photos/contact-sheet.png") as sheet:
        assert sheet.width > 11 * 24
    assert len(list(Path("checks/photos").iterdir())) == 2


def test_a_check_is_repeated_in_place(check: Growgan, photos: Path) -> None:
    assert check(photos, "--out", "here", "--workers", 1).status == 0
    before = {file.name: file.read_bytes() for file in Path("here").iterdir()}
    assert check(photos, "--out", "here", "--workers", 2).status == 0
    assert {file.name: file.read_bytes() for file in Path("here").iterdir()} == before


def test_a_contract_is_written_kept_and_broken(check: Growgan, photos: Path) -> None:
    written = check(photos, "--write-contract", "photos.yaml")
    assert written.status == 0
    assert "contract: photos.yaml" in written.out
    assert check(photos, "--contract", "photos.yaml").status == 0
    assert read_report(Path("checks/photos")).broken_rules == ()

    (photos / "cat").rename(photos / "wolf")
    for number in range(3):
        (photos / f"dog/{number}.png").unlink()
    result = check(photos, "--contract", "photos.yaml", "--out", "later")
    assert result.status == 2
    assert result.err.startswith(f"growgan: {photos} breaks photos.yaml: `classes` must be the 2 ")
    for text in (
        "Received: new wolf, no cat; `least_pictures` must be at least 10. Received: 9; ",
        "`class_shares.cat` must be at least 0.25. Received: 0",
        "`shift.most_class_shares` must be at most 0.1. Received: 0.",
    ):
        assert text in result.err
    assert result.err.count("\n") == 1
    reasons = read_report(Path("later")).broken_rules
    assert result.err == f"growgan: {photos} breaks photos.yaml: {'; '.join(reasons)}\n"
    assert Path("later/contact-sheet.png").is_file()
    assert "growgan train" not in result.out


def test_a_shift_is_measured_against_a_report_or_pictures(check: Growgan, photos: Path) -> None:
    check(photos)
    (photos / "dog").rename(photos / "wolf")
    pixels = np.random.default_rng(7).integers(0, 256, (20, 24, 3), np.uint8)
    Image.fromarray(pixels).save(photos / "cat" / "new.png")
    for previous in ("checks/photos", "checks/photos/report.json"):
        result = check(photos, "--against", previous, "--out", "now")
        assert result.status == 0
        assert "compared with photos:" in result.out
        assert "new: wolf; gone: dog" in result.out
        assert "contents: 8.33 % are new, 0 % of the previous ones are gone" in result.out
    shift = json.loads(Path("now/report.json").read_text())["shift"]
    assert shift["new_classes"] == ["wolf"]
    same = check(photos, "--against", photos)
    assert "class shares: 0 % of the pictures changed class\n" in same.out
    assert "features: 0.000 spreads apart" in same.out


def test_nothing_readable_is_told_and_reported(check: Growgan, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    for number in range(7):
        (folder / f"{number}.png").write_text("no picture")
    result = check(folder)
    assert result.status == 2
    assert result.err == (
        f"growgan: a source must hold pictures that can be read. Received: {folder}, with all 7 "
        "corrupt, for the reasons in checks/broken/report.json\n"
    )
    assert "and 2 more" in result.out
    assert len(read_report(Path("checks/broken")).corrupt) == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "'none', which does not exist"),
        (["digits", "--contract", "none.yaml"], "a contract must be a readable YAML file"),
        (["digits", "--against", "none.json"], "`report.json` of format 1"),
        (["digits", "--against", "none"], "growgan: `--against`"),
        (["digits", "--workers", "0"], "--workers"),
    ],
)
def test_mistakes_show_before_the_work(check: Growgan, arguments: list[str], message: str) -> None:
    result = check(*arguments)
    assert result.status == 2
    assert message in result.err
    assert result.out == ""
    assert not Path("checks").exists()


def test_a_place_that_cannot_be_written(check: Growgan, photos: Path) -> None:
    Path("file").touch()
    result = check(photos, "--out", "file/inside")
    assert result.status == 2
    assert "`--out` must be a folder. Received: file/inside, and file is a file" in result.err
    assert result.err.count("\n") == 1


def test_a_terminal_gets_tables(photos: Path) -> None:
    console = Console(force_terminal=True, width=70, no_color=True, markup=False)
    found = survey(str(photos))
    with console.capture() as capture:
        check_summary.show(console, found, "[photos]")
        check_summary.show_lines(console, "next", {"train": "growgan train --set a.b=[1]"})
    text = Text.from_ansi(capture.get()).plain
    assert "[photos]" in text
    assert "growgan train --set a.b=[1]" in text
    assert max(map(len, text.splitlines())) <= 70


@pytest.mark.new_interpreter
def test_checking_starts_no_tensorflow(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['growgan', 'data', 'check', 'digits']\n"
        "from pipeline.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    root = str(Path(__file__).parents[3])
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": root},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


@pytest.mark.parametrize("out", ["", "report"])
def test_nothing_is_written_among_the_pictures(growgan: Growgan, tmp_path: Path, out: str) -> None:
    """A report would be taken for a picture that lies beside the classes."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("L", (8, 8)).save(folder / "a.png")
    for words in (
        ("data", "check", folder, "--out", folder / out),
        ("data", "prepare", folder, folder / out, "--resolution", 8),
    ):
        result = growgan(*words)
        assert result.status == 2
        assert result.err.startswith(
            "growgan: output must be outside the folder of pictures. Received"
        )
    assert [path.name for path in folder.iterdir()] == ["a.png"]
