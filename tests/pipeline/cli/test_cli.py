"""The command line as a whole: help, and one line for every mistake."""

from __future__ import annotations

import errno
import json
import os
import ssl
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from unittest import mock

import pytest

from pipeline import cli
from tests.pipeline.cli.commands import DEFAULT_THREADS, TINY, Growgan

WITH_EXAMPLES = (
    "train", "generate", "export", "verify", "publish", "serve", "config", "evaluate", "gate",
    "compare",
)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--config", "quikstart"], "did you mean quickstart?"),
        (["train", "--config", "quickstart", "--set", "schedule.resolution=24"],
         "powers of two from 4 to 1024, or the same if images do not grow. Received: 4 and 24"),
        (["train", "--config", "quickstart", "--set", "schedule.batch_size=10"],
         "must be a multiple of `network.stddev_group`"),
        (["train", "--config", "progan-mnist32"], "no pictures given: pass --data"),
        (["train", "--config", "quickstart", "--until-resolution", "32"],
         "`--until-resolution` must be one that the schedule trains, 4, 8, 16. Received: 32"),
        (["train", "--config", "quickstart", "--time-limit", "soon"],
         "`--time-limit` must be a time such as 90s, 30m, 1h30m, or 1:30:00 as in Slurm."),
        (["train", "--config", "quickstart", "--profile", "20,10"],
         "`--profile` must be the first and the last step to trace, counted from 1, such as 10,20."
         " Received: 20,10"),
        (["train", "--config", "quickstart", "--set", "run.memory_gib=0.1"],
         "every phase must fit in the 0.1 GiB that are free, or that `run.memory_gib` grants. "
         "Received: fade_16x16, which takes 0.9 GiB with 16 images at once"),
        (["train", "--config", "progan-mnist32", "--dry-run", "--set", "data.labels=true"],
         "no pictures given: pass --data"),
        (["train", "--config", "quickstart", "--set", "run.replicas=2"],
         "`run.replicas` needs `run.strategy=mirrored`. Received: 2 and one_device"),
        (["train", "--config", "quickstart", "--set", "run.tpu=local"],
         "`run.tpu` needs `run.strategy=tpu`. Received: local and one_device"),
        (["train", "--config", "quickstart", "--set", "run.strategy=mirrored",
          "--set", "run.replicas=2", "--set", "schedule.batch_size=12",
          "--set", "run.micro_batch=4"],
         "`schedule.batch_size` must divide by the replicas, and each replica's share by "
         "`network.stddev_group`. Received: 12 at 4 px, 2 replicas, group 4"),
        (["train", "--config", "quickstart", "--set", "run.strategy=mirrored",
          "--set", "run.jit_compile=true"],
         "`run.jit_compile` needs `run.strategy=one_device`, or a TPU, where it changes nothing. "
         "Received: mirrored"),
        (["train", "--config", "quickstart", "--set", "run.strategy=tpu"],
         "`run.strategy=tpu` needs a TPU, at `run.tpu` or the environment's TPU_NAME. "
         "Received: no address (Please provide a TPU Name to connect to.)"),
        (["train", "--config", "quickstart", "--set", "run.strategy=tpu", "--set", "run.tpu=local"],
         "Received: local (TPUs not found in the cluster."),
        (["train", "--config", "quickstart", "--set", "run.strategy=tpu",
          "--set", "run.tpu=grpc://localhost:9"],
         "Received: grpc://localhost:9 ([Errno 111] Connection refused)"),
        (["train", "--config", "quickstart", "--set", "run.strategy=multi_worker"],
         "needs workers: `--workers 2` starts some here"),
        (["train", "--config", "quickstart", "--workers", "2", "--set", "run.log_images=0"],
         "`run.log_images` must be greater than or equal to 1. Received: 0"),
        (["train", "--config", "quickstart", "--data", "/no/such/folder"],
         "'/no/such/folder', which does not exist"),
        (["train", "--config", "quickstart", "--workers", "100"],
         "Received: 16 at 4 px, 100 replicas, group 4"),
        (["generate", "/tmp/\udcff"], "a path must be text in UTF-8. Received: /tmp/\\xff"),
        (["publish", "/tmp", "/tmp/\udcff", "--model", "m"], "a path must be text in UTF-8"),
        (["data", "prepare", "digits", "out", "--resolution", "8", "--beam", "foo"],
         "`--beam` must be options such as --runner=DirectRunner. Received: foo"),
        (["pipeline", "init", "out", "--source", "nowhere"],
         "`sources` must exist. Received: nowhere"),
        (["data", "check", "digits", "--out", f"{__file__}/x"],
         f"`--out` must be a folder. Received: {__file__}/x, and {__file__} is a file"),
        (["train", "--config", "quickstart", "--resume", "must"],
         "`--resume must` needs a run in `--out`."),
        (["verify", "/tmp", "--timeout", "inf"], "Invalid value for '--timeout'"),
        (["serve", "/tmp", "--grace-seconds", "inf"], "Invalid value for '--grace-seconds'"),
        (["generate", "/no/such/run"], "a run folder holds a config.yaml. Received: /no/such/run"),
        (["export", "/no/such/run"], "a run folder holds a config.yaml. Received: /no/such/run"),
        (["config", "none.yaml"], "must be a readable file"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_status_2(
    growgan: Growgan, tmp_path: Path, arguments: list[str], message: str
) -> None:
    if arguments[0] == "train":
        arguments = [*arguments, "--out", str(tmp_path / "run"), *DEFAULT_THREADS]
    result = growgan(*arguments)
    assert result.status == 2
    assert message in result.err
    assert result.err.startswith("growgan: ")
    assert result.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_place_that_cannot_be_written_is_refused(
    growgan: Growgan, workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    records = f"data.records={workspace / 'records'}"
    result = growgan("train", *TINY, "--set", records, "--out", tmp_path / "file" / "run")
    assert result.status == 2
    assert "`--out` must be a folder. Received: " in result.err
    result = growgan("generate", workspace / "run", "--out", tmp_path / "file" / "grid.png")
    assert result.status == 2
    assert "`--out` must be a folder. Received: " in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 74),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 74),
        (OSError(errno.ESTALE, "Stale file handle"), 74),
        (FileNotFoundError(errno.ENOENT, "No such file"), 2),
        (PermissionError(errno.EACCES, "Permission denied"), 2),
        (OSError("cannot identify this image file"), 2),
        (OSError(errno.ENAMETOOLONG, "File name too long"), 2),
        (ssl.SSLError(ssl.SSL_ERROR_SYSCALL, "of the number of EIO"), 2),
    ],
)
def test_a_file_that_cannot_be_read_now_has_a_status_of_its_own(
    growgan: Growgan, monkeypatch: pytest.MonkeyPatch, error: OSError, status: int
) -> None:
    monkeypatch.setattr(cli, "app", mock.Mock(side_effect=error))
    result = growgan("train")
    told = f"growgan: a file could not be read or written: {error}\n"
    assert (result.status, result.err) == (status, told)


def test_wrong_options_are_refused_with_status_2(growgan: Growgan, workspace: Path) -> None:
    assert growgan("train", "--no-such-option").status == 2
    assert growgan("generate", workspace / "run", "--seeds", "9-3").status == 2
    assert growgan("generate", workspace / "run", "--label", "cat").status == 2


@pytest.mark.parametrize("command", ["", *WITH_EXAMPLES])
def test_help_has_an_example(growgan: Growgan, command: str) -> None:
    result = growgan(*command.split(), "--help")
    assert result.status == 0
    assert "Example" in result.out


@pytest.mark.new_interpreter
def test_help_loads_nothing_heavy() -> None:
    """Half a second is the aim; what is imported decides, and that can be tested."""
    code = (
        "import sys; sys.argv = ['growgan', '--help']\n"
        "from pipeline.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'pydantic', 'PIL'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    environment = {**os.environ, "COLUMNS": "100"}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr


MISTAKES = (
    "data prepare none out --resolution 8",
    "data prepare digits out --resolution 2",
    "data prepare digits out --resolution 8 --classes x",
    "data check none",
    "data verify none",
    "evaluate none",
    "features train --data none --out out",
    "generate none --out x.png",
    "import none.pkl --out out",
    "publish none none --model x",
    "serve none",
    "train --config none --out out",
    "train --config quickstart --data none --out out",
    "train --config quickstart --out out --resume must",
    "train --config quickstart --out out --workers 100",
    "generate . --files none/x --out x.jpg",
    "verify none",
)
OF_A_RUN = {
    "train --config quickstart --out out --profile 20,10": "the first and the last step to trace",
    "train --config quickstart --out out --until-resolution 7": "4, 8, 16. Received: 7",
    "train --config quickstart --out out --from none": "Received: none, which is no folder",
    "train --config quickstart --out out --workers 2 --from none": "none, which is no folder",
    "train --config quickstart --out out --from run": "that of the weights of `--from`, 8. Rec",
    "generate run --label 7": "none, as the run has no labels. Received: 7",
    "generate run --truncation 0.5": "of a family that has them. Received: progan",
    "generate run --mix 3": "of a family that has them. Received: progan",
    "generate run --mix-layers 3": "`--mix-layers` must come with `--mix`. Received: 3 alone",
    "generate run --truncated-layers 2": "must come with `--truncation`. Received: 2, with noth",
    "generate run --files a --out b.png": "must come without `--out`. Received: a and b.png",
    "export none": "Received: none, which is no folder",
    "export run --checkpoint 7": "one after 16 images. Received: 7",
    "export run --limit 2": "'--limit': Input should be greater than or equal to 3",
    "export run --format onnx --out a.x": "must end in .onnx with `--format onnx`. Received: a.x",
    "evaluate run --features foo": "classifier:FOLDER, lenet:FILE. Received: foo",
    "evaluate run --checkpoint 7": "one after 16 images. Received: 7",
    "evaluate run --num-images 99999999": "less than or equal to 10000000. Received: 99999999",
    "publish loop none --model x": "a path must lead somewhere. Received: symlink loop from",
    "train --config quickstart --out dead": "Received: dead, and dead is a broken link",
    "data check digits --out file/x": "Received: file/x, and file is a file",
    "serve . --host none.invalid": "Received: none.invalid:8500 (",
    "serve . --port 17321 --rest-api-port 17321": "Received: 127.0.0.1:17321 (",
}


def make_run(folder: Path) -> None:
    """A run as far as it is known without TensorFlow: its checkpoint has no variables."""
    checkpoint = folder / "checkpoints" / "images-000000016"
    checkpoint.mkdir(parents=True)
    (folder / "config.yaml").write_text("schedule: {resolution: 8, start_resolution: 8}\n")
    (folder / "manifest.json").write_text('{"data": {"classes": []}}')
    state = '{"images_seen": 16, "phase": 0, "seconds": 1.0, "metrics": {}}'
    (checkpoint / "state.json").write_text(state)
    files = {"state.json": {"bytes": len(state), "sha256": sha256(state.encode()).hexdigest()}}
    (checkpoint / "manifest.json").write_text(json.dumps({"files": files}))


@pytest.mark.new_interpreter
def test_mistakes_are_told_before_tensorflow_is_loaded(tmp_path: Path) -> None:
    """Its start takes from 4 to 18 seconds."""
    make_run(tmp_path / "run")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dead").symlink_to("nowhere")
    (tmp_path / "file").touch()
    code = (
        "import sys\n"
        "from pipeline.cli import main\n"
        "for words in sys.argv[1:]:\n"
        "    sys.argv = ['growgan', *words.split()]\n"
        "    try: main()\n"
        "    except SystemExit as end: assert end.code == 2, words\n"
        "    assert 'tensorflow' not in sys.modules, words\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *MISTAKES, *OF_A_RUN],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == len(MISTAKES) + len(OF_A_RUN)
    for line, (words, told) in zip(lines[len(MISTAKES) :], OF_A_RUN.items(), strict=True):
        assert told in line, words


@pytest.mark.new_interpreter
@pytest.mark.slow
def test_too_few_addresses_for_tensorflow_are_refused(tmp_path: Path) -> None:
    """It would end the process by a signal."""
    command = f"ulimit -v 3000000; exec {sys.executable} -m pipeline.cli evaluate none"
    make_run(tmp_path / "none")
    result = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (
        2,
        "growgan: the limit on address space (`ulimit -v`) must be at least 4194304 KiB for "
        "TensorFlow. Received: 3000000\n",
    )
