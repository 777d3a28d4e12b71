"""Inputs of public bug reports, in `cases/` of the shared folder, by the commands of the reporters.

A case stands for a kind; tests of the kind are beside what was mended. Each folder has `make.py`,
which makes the input, `cmd.sh`, and `expected.md`, which says what is right.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.orchestration.clusters import ROOT

pytestmark = pytest.mark.slow

RIGHT = {
    "advice-of-data-check-is-refused": [
        "growgan train --config stylegan-eurosat64 --data sets/c --set schedule.resolution=32 "
        "--set data.channels=3",
        "rc=2",  # The reporter's own command names no channels.
    ],
    "brackets-in-names-printed": [
        "--data 'sets/out [v2]'",
        "skipped as unreadable: [final] a.png",
        "rc=0",
    ],
    "data-path-cut-finds-other-folder": ["6 images in ", "rc=0"],
    "data-path-long-with-spaces": ["6 images in records/my-pictures-of-old-houses-", "rc=0"],
    "evaluate-labelled-run-of-one-class": [
        "not measured: classification_accuracy, as `fake_labels` must name two classes or more",
        "rc=0",
    ],
    "exif-damaged-in-png": ["3 readable, 0 corrupt", "rc=0"],
    "export-to-folder-with-brackets": ["models [x]/m/", "rc=0"],
    "features-path-with-hash": ["'classifier:feat/set #2'", "rc=0"],
    "full-disk-checkpoint-status": ["rc=74"],
    "full-disk-export-status": ["rc=74"],
    "full-disk-prepare-status": ["rc=74"],
    "jfif-and-jpe-left-out-silently": ["8 readable, 0 corrupt", ".heic (1)", "8 images"],
    "labels-file-with-backslashes-or-nfd": ["4 readable, 0 corrupt"],
    "names-not-utf8": [r"\x", "rc=0"],
    "pictures-of-100-megapixels": ["2 readable, 0 corrupt"],
    "pipeline-source-tfds-folder-never-new": [" 6\n", " 7\n"],
    "pipeline-source-with-linked-class": ["8 readable", "8 ['cat/", "'dog/"],
    "run-in-folder-with-brackets": ["runs/faces [v2]/savedmodels/", "rc=0"],
    "tiff-16-bit-white-is-zero": ["255 0"],
    "zip-names-begin-with-dot-slash": ["4 readable", "classes: 2", "rc=0"],
    "zip-of-a-newer-version": ["growgan: a zip must be readable. Received: z.zip (", "rc=2"],
}
"""What the output must hold; of `rc=`, which a command may tell several times, nothing else."""


@pytest.mark.parametrize("case", RIGHT)
def test_a_reported_case_is_right(
    shared_folder: Path, tmp_path: Path, python: str, case: str
) -> None:
    folder = shared_folder / "cases" / case
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    if case.startswith("full-disk") and not _can_mount(tmp_path):
        pytest.skip("needs the right to mount a tmpfs")
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    done = subprocess.run(
        ["bash", "cmd.sh"],
        cwd=tmp_path,
        env={
            **os.environ,
            "G": f"{python} -m pipeline.cli",
            "PY": sys.executable,
            "PYTHONPATH": str(ROOT),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(done.stdout)
    for right in RIGHT[case]:
        assert right in done.stdout
    told = set(re.findall(r"^rc=\d+", done.stdout, re.MULTILINE))
    assert told == {right for right in RIGHT[case] if right.startswith("rc=")}
    assert "Traceback" not in done.stdout


def _can_mount(folder: Path) -> bool:
    place = folder / "probe"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return False
    subprocess.run(["umount", str(place)], check=True)
    return True
