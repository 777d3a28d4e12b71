"""Every command once as a user starts it: `python -m pipeline.cli …`, by a new interpreter.

Others are in the files of their commands: `export`, `verify`, `serve`, `features train` and
`data prepare`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.cli.commands import TINY
from tests.pipeline.orchestration.projects import make_project

ROOT = Path(__file__).parents[3]
RULE = ("--set", "gate.max_fid=10")
SWD = ("--metrics", "swd", "--num-images", "32")
COMMANDS: list[tuple[list[str], int, str]] = [
    (["train", *TINY, "--set", "data.records=RECORDS", "--out", "RUN", "--resume", "auto"],
     0, "The run is finished: 256 images."),
    (["generate", "RUN", "--seeds", "3", "--out", "grid.png"], 0, "grid.png"),
    (["evaluate", "RUN", *SWD, "--elsewhere", "scores.json"], 0, "written: scores.json"),
    (["publish", "RUN", "models", "--model", "faces", "--no-verify"],
     0, "published: models/faces/1"),
    (["gate", "EVALUATED", *RULE], 0, "gate: runs/a, images-000001000 passed"),
    (["compare", "EVALUATED"], 0, "curves: compare.png"),
    (["presets"], 0, "quickstart"),
    (["config", "quickstart"], 0, "  batch_size: 16"),
    (["import", "none.pkl", "--out", "run"], 2, "growgan: "),
    (["data", "check", "digits"], 0, "report: checks/digits/report.json"),
    (["data", "verify", "SET"], 0, "1797 images"),
    (["data", "serve", "--address", "a"], 2, "like `host:5001`. Received: 'a'"),
    (["pipeline", "init", "faces", "--source", "digits"], 0, "/faces/pipeline.yaml"),
    (["pipeline", "status", "PROJECT"], 0, "model"),
    (["pipeline", "history", "PROJECT"], 0, "no run"),
    (["pipeline", "run", "none"], 2, "growgan: a project must have a pipeline.yaml"),
    (["pipeline", "up", "none"], 2, "growgan: a project must have a pipeline.yaml"),
    (["pipeline", "promote", "PROJECT", "7"], 2, "growgan: "),
    (["pipeline", "rollback", "PROJECT"], 2, "growgan: "),
    (["pipeline", "job", "PROJECT", "a", "--", "train"],
     2, "growgan: `growgan pipeline job` needs `training.kubernetes`."),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "status", "line"), COMMANDS, ids=[" ".join(words[:2]) for words, *_ in COMMANDS]
)
def test_a_command_is_a_program(
    workspace: Path, evaluated, run_with, tmp_path: Path, words: list[str], status: int, line: str
) -> None:
    run_with(tmp_path / "evaluated", evaluated(scores={"fid": (8.0, 7.5, 8.5)}))
    [records] = (workspace / "records").glob("*")
    project = make_project(tmp_path)
    known = {
        "RUN": workspace / "run",
        "SET": records,
        "EVALUATED": tmp_path / "evaluated",
        "PROJECT": project.path,
        "data.records=RECORDS": f"data.records={workspace / 'records'}",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *(str(known.get(word, word)) for word in words)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == status, ended.stderr
    said, other = (ended.stderr, ended.stdout) if status else (ended.stdout, ended.stderr)
    assert line in said
    assert other == ""
    assert not status or said.count("\n") == 1
