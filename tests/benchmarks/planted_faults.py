"""Plant one fault at a time in a copy of the project, and see which test catches it.

    python tests/benchmarks/planted_faults.py [NAME ...] [--project FOLDER]

Each of twelve faults changes one line that a careless edit could change. The tests of the files it
names run in a copy of the tracked files until one fails. Prints a table, and exits with 1 if a
fault went unnoticed. It takes about ten minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Fault:
    """One changed line.

    Attributes:
        file: Which is changed.
        right: Text that stands there once.
        wrong: Text that takes its place.
        tests: Files or folders below `tests/` that should notice.
    """

    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]


FAULTS = {
    "resume draws": Fault(
        "pipeline/training/loop/trainer.py",
        "task.batches(trained.position.images_seen)",
        "task.batches(0)",
        ("pipeline/training/loop/test_resume.py",),
    ),
    "a layer's gain": Fault(
        "layers/equalized.py",
        "self.gain / math.sqrt(fan_in)",
        "self.gain / math.sqrt(fan_in + 1)",
        ("layers/test_equalized.py",),
    ),
    "a schedule's edge": Fault(
        "pipeline/schedule.py",
        "start + phase.images + fades",
        "start + phase.images",
        ("pipeline/test_schedule.py",),
    ),
    "a lock": Fault(
        "savedmodels/locks.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        ("savedmodels/test_locks.py", "pipeline/training_run/test_folder.py"),
    ),
    "a signature's check": Fault(
        "savedmodels/rows.py",
        "(count < group) | (count % group == 0)",
        "(count < group) | (count % group != 1)",
        ("savedmodels/test_signatures.py",),
    ),
    "a gate's rule": Fault(
        "pipeline/evaluation/gate.py",
        "end = score.high if most else score.low",
        "end = score.low if most else score.high",
        ("pipeline/evaluation/test_gate.py",),
    ),
    "a label's move": Fault(
        "savedmodels/repository/publisher.py",
        "if waits is not None:",
        "if waits is None and label is None:",
        ("savedmodels/repository",),
    ),
    "FID's mean": Fault(
        "pipeline/data/checking/moments.py",
        "one.mean + step * (other.count / count)",
        "one.mean + step / 2",
        ("pipeline/evaluation/statistics",),
    ),
    "a contract's bound": Fault(
        "pipeline/data/checking/contract.py",
        "_short(value) > bound",
        "value > bound",
        ("pipeline/data/checking",),
    ),
    "an alarm": Fault(
        "pipeline/training/alarms/thresholds.py",
        "self.against + 1 >= patience",
        "self.against + 1 > patience",
        ("pipeline/training/alarms",),
    ),
    "a retry": Fault(
        "pipeline/orchestration/dagster/assets.py",
        "Failure(failure.reason, allow_retries=failure.may_pass)",
        "Failure(failure.reason, allow_retries=True)",
        ("pipeline/orchestration/dagster/test_definitions.py",),
    ),
    "a page's escape": Fault(
        "pipeline/evaluation/page.py",
        "autoescape=True",
        "autoescape=False",
        ("pipeline/evaluation/test_report.py", "pipeline/orchestration/runs/test_page.py"),
    ),
}


def copy_project(project: Path, folder: Path) -> None:
    """Copy the tracked files as they are now."""
    command = ["git", "-C", str(project), "ls-files", "-z"]
    for name in subprocess.run(command, capture_output=True, check=True).stdout.split(b"\0"):
        source = project / os.fsdecode(name)
        if name and source.exists():
            target = folder / os.fsdecode(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def caught_by(fault: Fault, folder: Path, shared: Path) -> str | None:
    """Plant a fault, run its tests, and take it out again; the first test that fails, if any."""
    file = folder / fault.file
    text = file.read_text()
    assert text.count(fault.right) == 1, f"{fault.file} must have {fault.right!r} once"
    file.write_text(text.replace(fault.right, fault.wrong))
    tests = [str(folder / "tests" / each) for each in fault.tests]
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-qx", "-m", "not thorough and not gpu", *tests],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "GROWGAN_SHARED": str(shared)},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        file.write_text(text)
    failed = re.search(r"^(?:FAILED|ERROR) tests/(\S+)", ended.stdout, re.MULTILINE)
    if ended.returncode != 1 or not failed:
        assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
        return None
    return failed[1]


def main() -> int:
    """Print the table; the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", choices=[[], *FAULTS], help="faults; all if none")
    parser.add_argument("--project", type=Path, default=ROOT)
    given = parser.parse_args()
    project = given.project.resolve()
    shared = Path(os.environ.get("GROWGAN_SHARED") or project.parent / "shared")
    unnoticed = 0
    print("| fault | file | caught by | seconds |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="growgan-") as place:
        copy_project(project, Path(place))
        for name in given.names or FAULTS:
            fault, begun = FAULTS[name], time.monotonic()
            found = caught_by(fault, Path(place), shared)
            unnoticed += found is None
            seconds = time.monotonic() - begun
            print(f"| {name} | {fault.file} | {found or 'nothing'} | {seconds:.0f} |", flush=True)
    return int(unnoticed > 0)


if __name__ == "__main__":
    sys.exit(main())
