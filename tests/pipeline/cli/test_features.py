"""`growgan features train` as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pipeline.cli.commands import Growgan

LITTLE = ["--resolution", "8", "--channels", "1"]


def command(tmp_path: Path, *more: str) -> list[str]:
    named = ["--out", str(tmp_path / "classifier"), "--records", str(tmp_path / "records")]
    return ["features", "train", *named, *more]


@pytest.mark.slow
@pytest.mark.new_interpreter
def test_it_trains_and_says_how_good_it_is(tmp_path: Path) -> None:
    given = command(tmp_path, "--data", "digits", *LITTLE, "--epochs", "3")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *given], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    manifest = json.loads((tmp_path / "classifier/manifest.json").read_text())
    lines = done.stdout.splitlines()
    assert "10 classes, 1617 images of 8 px to train on and 180 held out" in lines
    assert f"epoch 3/3: accuracy {manifest['accuracy']:.4f}" in lines
    assert lines[-1].startswith(f"accuracy {manifest['accuracy']:.4f} on 180 held-out images")
    assert lines[-1].endswith(f"classifier:{tmp_path / 'classifier'}")
    assert manifest["accuracy"] > 0.5


@pytest.mark.slow
def test_a_signal_leaves_nothing(python: str, tmp_path: Path) -> None:
    given = command(tmp_path, "--data", "digits", *LITTLE, "--epochs", "1000")
    with subprocess.Popen(
        [python, "-u", "-m", "pipeline.cli", *given],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if b"epoch 1/1000" in line:
                os.kill(process.pid, signal.SIGTERM)
                break
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (143, b"")
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        (["--data", "absent", *LITTLE], "Received: 'absent', which does not exist"),
        (["--data", "digits", "--resolution", "48"], "power of two from 8 to 1024. Received: 48"),
        (["--data", "digits", "--resolution", "4"], "power of two from 8 to 1024. Received: 4"),
        (["--data", "digits", "--resolution", "8", "--channels", "2"], "`data.channels`"),
        (["--data", "UNLABELLED", *LITTLE], "Received: pictures, which has no classes"),
        (["--data", "digits", "--out", "EXISTS"], "`--out` must be a new folder"),
        (["--data", "digits", "--epochs", "0"], "--epochs"),
        (["--data", "BROKEN", *LITTLE], "or let `on_corrupt` be `skip`. Received: "),
        (["--data", "BROKEN", "--on-corrupt", "skip", *LITTLE], "at least 20 labelled pictures"),
        (LITTLE, "--data"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    growgan: Growgan, tmp_path: Path, more: list[str], rule: str
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(pictures / f"{number}.png")
    broken = tmp_path / "broken"
    for name in ("a", "b"):
        shutil.copytree(pictures, broken / name)
    (broken / "a" / "0.png").write_bytes(b"no picture")
    known = {"UNLABELLED": str(pictures), "EXISTS": str(pictures), "BROKEN": str(broken)}
    result = growgan(*command(tmp_path, *(known.get(word, word) for word in more)))
    assert result.status == 2
    assert result.err.count("\n") == 1
    assert rule in result.err
    assert not (tmp_path / "classifier").exists()


def test_a_prepared_set_is_taken_as_it_is(tmp_path: Path) -> None:
    from pipeline.cli.console import terminal
    from pipeline.cli.features import prepare_training_set
    from pipeline.config import DataConfig
    from pipeline.data.prepare import prepare

    data = DataConfig(source="digits", channels=1, max_images=30)
    prepare(data, (4, 8, 16, 32, 64), tmp_path / "set")
    console = terminal(quiet=True)

    def taken(resolution: int | None) -> tuple[Path, int, int]:
        how = {"records": tmp_path / "records"}
        records, side = prepare_training_set(console, str(tmp_path / "set"), resolution, None, how)
        return records.folder, records.channels, side

    assert taken(None) == (tmp_path / "set", 1, 32)
    assert taken(64) == (tmp_path / "set", 1, 64)
    assert not (tmp_path / "records").exists()
