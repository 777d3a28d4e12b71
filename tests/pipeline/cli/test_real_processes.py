"""Each command once as a person runs it, in a new interpreter: its status, and a line it prints.

Other tests run commands in this process, or in forks of one that has imported everything.
`growgan verify` and `growgan features train` have such a test in their own files.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.orchestration.plan import Plan
from pipeline.orchestration.snapshots import take
from savedmodels.repository.publisher import publisher_of
from savedmodels.repository.repository import Repository
from savedmodels.repository.servers import Watchers
from savedmodels.repository.versions import About
from tests.pipeline.cli.commands import TINY
from tests.pipeline.orchestration.projects import make_project, put_pictures

pytestmark = [pytest.mark.slow, pytest.mark.new_interpreter]

RULES = ("gate.max_fid=10",)


@pytest.fixture(name="project")
def _project(tmp_path: Path, savedmodel: Callable[..., Path]) -> Path:
    """A project that has run, and whose model has two versions; `stable` was at each."""
    put_pictures(tmp_path / "incoming", 0, 2)
    project = make_project(tmp_path)
    plan = Plan(project, take(project))
    plan.write_note("ended", run="earlier", verdict="promoted", reason="so", final=True)
    nobody = Watchers(none=True)
    with publisher_of(Repository(project.path / "models"), project.config.model) as publisher:
        for version, weights in enumerate(("one", "two"), 1):
            publisher.publish(savedmodel(tmp_path / weights, weights), About())
            publisher.promote("stable", version, nobody)
    return Path(project.path)


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def says(line: str, *words: object) -> None:
    """Run a command, which must succeed and print a line with this text."""
    ended = run(*words)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert any(line in each for each in ended.stdout.splitlines()), ended.stdout


def test_presets() -> None:
    says("quickstart", "presets")


def test_config() -> None:
    says("seed: 4", "config", "quickstart", "--set", "run.seed=4")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "The run is finished: 256 images.",
            ("train", *TINY, "--set", "data.records=RECORDS", "--out", "RUN", "--resume", "auto"),
        ),
        ("TMP/grid.png", ("generate", "RUN", "--seeds", "3", "--out", "TMP/grid.png")),
        ("SavedModel: TMP/256", ("export", "RUN", "--signatures", "generate", "--out", "TMP")),
        (
            "written: TMP/scores.json",
            ("evaluate", "RUN", "--metrics", "swd", "--num-images", "32",
             "--elsewhere", "TMP/scores.json"),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_of_a_run(workspace: Path, tmp_path: Path, line: str, words: tuple[str, ...]) -> None:
    known = {"RUN": workspace / "run", "RECORDS": workspace / "records", "TMP": tmp_path}

    def filled(word: str) -> str:
        for name, path in known.items():
            word = word.replace(name, str(path))
        return word

    says(filled(line), *map(filled, words))


def test_import(shared_folder: Path, tmp_path: Path) -> None:
    file = shared_folder / "golden" / "progan_16_lod0.4.pkl"
    says("fade_16x16 at 2160000 images", "import", file, "--out", tmp_path / "run")


def test_gate_and_compare(evaluated, run_with, tmp_path: Path) -> None:
    path = run_with(tmp_path / "run", evaluated(500, scores={"fid": (8.0, 7.5, 8.5)}),
                    overrides=RULES).path  # fmt: skip
    says("gate: runs/a, images-000000500 passed", "gate", path)
    says(f"curves: {tmp_path}/curves.png", "compare", path, "--out", tmp_path / "curves.png")


def test_publish(savedmodel: Callable[..., Path], tmp_path: Path) -> None:
    words = (savedmodel(tmp_path / "1"), tmp_path / "models", "--model", "faces", "--no-verify")
    says(f"published: {tmp_path}/models/faces/1", "publish", *words)


def test_data_check_prepare_and_verify(tmp_path: Path) -> None:
    says(f"report: {tmp_path}/check/report.json", "data", "check", "glyphs:8x40",
         "--out", tmp_path / "check")  # fmt: skip
    says(f"40 images, 0 skipped, in {tmp_path}/set", "data", "prepare", "glyphs:8x40",
         tmp_path / "set", "--resolution", "8")  # fmt: skip
    says("40 images", "data", "verify", tmp_path / "set")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nothing to do: run earlier has promoted this already", ("run",)),
        ("model: digits, in ", ("status",)),
        ("no run has ended yet", ("history",)),
        ("stable: stands at version 1", ("promote", "1")),
        ("stable: stands at version 1", ("rollback",)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_of_a_project(project: Path, line: str, words: tuple[str, ...]) -> None:
    command, *more = words
    says(line, "pipeline", command, project, *more)


def test_pipeline_init(tmp_path: Path) -> None:
    words = ("pipeline", "init", tmp_path / "faces", "--source", "digits")
    says(f"written: {tmp_path}/faces/pipeline.yaml", *words)


@pytest.mark.parametrize("words", [("up",), ("job", "growgan-1", "--", "train")], ids=["up", "job"])
def test_pipeline_up_and_job_refuse_what_is_no_project(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    command, *more = words
    ended = run("pipeline", command, tmp_path, *more)
    assert ended.returncode == 2
    assert ended.stderr.startswith("growgan: a project must have a pipeline.yaml")


@pytest.mark.parametrize(("kind", "status"), [("serve", 0), ("data serve", -signal.SIGTERM)])
def test_a_server_listens_until_it_is_stopped(tmp_path: Path, kind: str, status: int) -> None:
    if kind == "serve":
        pytest.importorskip("uvicorn", reason="needs the extra `serve`")
        pytest.importorskip("tensorflow_serving", reason="needs the extra `serve`")
        words = [str(tmp_path), "--port", "0", "--rest-api-port", "0"]
    else:
        with socket.socket() as free:
            free.bind(("", 0))
            words = ["--address", f"localhost:{free.getsockname()[1]}"]
    command = [sys.executable, "-m", "pipeline.cli", *kind.split(), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("serving ")
        process.terminate()
        assert process.wait(60) == status
