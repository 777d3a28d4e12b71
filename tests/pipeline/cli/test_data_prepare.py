"""`growgan data prepare` and `verify` as a user runs them, and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.pipeline.cli.commands import Growgan

# Small shards and workers even for little work, so that a kill comes in the middle.
CODE = """
import pipeline.data.shards as shards, pipeline.data.workers as workers
shards.MAX_PICTURES, workers.WORTH_SHARING = 100, -1
from pipeline.cli import main
main()
"""


def command(python: str, *arguments: str) -> list[str]:
    return [python, "-c", CODE, "data", *arguments]


def prepare_arguments(out: Path, *more: str) -> list[str]:
    return ["prepare", "digits", str(out), "--resolution", "64", "--channels", "1", *more]


def children_of(pid: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(line) for line in listed.stdout.split()]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def contents(folder: Path) -> dict[Path, bytes]:
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*.*")}


@pytest.mark.slow
def test_a_killed_preparation_goes_on_and_ends_in_the_same_bytes(
    growgan: Growgan, python: str, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    process = subprocess.Popen(
        command(sys.executable, *prepare_arguments(out, "--workers", "2")),
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob(".killed.*.partial/journal/*.json"))) < 3:
        assert process.poll() is None, "it was done before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = children_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()
    while any(map(alive, workers)):
        assert time.monotonic() < deadline, "workers outlive a killed preparation"
        time.sleep(0.05)

    for folder, count in ((out, "2"), (tmp_path / "whole", "1")):
        again = command(python, *prepare_arguments(folder, "--workers", count))
        subprocess.run(again, check=True)
    assert contents(out) == contents(tmp_path / "whole")
    assert "1797 images" in growgan("data", "verify", out).out


def test_prepare_says_what_came_of_it_and_verify_finds_damage(
    growgan: Growgan, tmp_path: Path
) -> None:
    few = ["--max-images", "90", "--val", "0.1"]
    done = growgan("data", *prepare_arguments(tmp_path / "set", *few))
    assert done.status == 0, done.err
    assert f"81 images, 9 set apart, 0 skipped, in {tmp_path / 'set'}" in done.out
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    [file, *_] = sorted((tmp_path / "set/64x64").iterdir())
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    found = growgan("data", "verify", tmp_path / "set")
    assert found.status == 2
    assert found.err.count("\n") == 1
    assert "64x64/train-00000-of-00001.tfrecords" in found.err


def test_a_configuration_stands_for_the_options(growgan: Growgan, tmp_path: Path) -> None:
    config = tmp_path / "own.yaml"
    config.write_text("data: {channels: 1, val: 0.1}\nschedule: {resolution: 8}\n")
    one, other = tmp_path / "one", tmp_path / "other"
    prepare = ("data", "prepare", "glyphs:8x40")
    assert growgan(*prepare, one, "--config", config).status == 0
    options = ("--resolution", 8, "--channels", 1, "--val", 0.1)
    assert growgan(*prepare, other, *options).status == 0
    first, second = (json.loads((each / "manifest.json").read_text()) for each in (one, other))
    assert first["data_hash"] == second["data_hash"]
    both = growgan(*prepare, tmp_path / "third", "--config", config, "--crop", "pad")
    assert both.err == "growgan: `--config` must come without --crop, which it replaces\n"
    neither = growgan(*prepare, tmp_path / "third")
    assert neither.err == (
        "growgan: no largest size is given: pass --resolution, or --config FILE\n"
    )
    assert (both.status, neither.status) == (2, 2)
    assert not (tmp_path / "third").exists()


def test_a_broken_contract_writes_nothing(growgan: Growgan, tmp_path: Path) -> None:
    data = partial(growgan, "data")
    contract, out = tmp_path / "digits.yaml", tmp_path / "set"
    checked = ["check", "digits", "--out", tmp_path / "check"]
    assert data(*checked, "--write-contract", contract).status == 0
    kept = ["--contract", str(contract), "--resolution", "8"]
    assert data(*prepare_arguments(out, *kept)).status == 0
    glyphs = ["prepare", "glyphs:32x200", tmp_path / "other", "--resolution", "8"]
    result = data(*glyphs, "--contract", contract)
    assert result.status == 2
    assert result.err.count("\n") == 1
    assert "glyphs:32x200 breaks" in result.err
    assert not list(tmp_path.glob("*other*"))


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        (["--resolution", "46"], "such as 28x28 or 48x64. Received: 46 and 46"),
        (["--resolution", "48", "--width", "50"], "28x28 or 48x64. Received: 48 and 50"),
        (["--channels", "2"], "`data.channels`"),
        (["--val", "1.5"], "`data.val`"),
        (["--val", "0.0001"], "`data.val` must leave pictures on both sides"),
        (["--classes", "3,cat"], "Received: cat"),
        (["--workers", "0"], "`data.workers`"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    growgan: Growgan, tmp_path: Path, more: list[str], rule: str
) -> None:
    result = growgan("data", *prepare_arguments(tmp_path / "set", *more))
    assert result.status == 2
    assert result.err.count("\n") == 1
    assert rule in result.err
    assert list(tmp_path.iterdir()) == []
