"""`growgan train --workers N`: the processes it starts, and the status it gives for all of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.cli.worker_processes import free_addresses
from pipeline.training.distributed.cluster import Cluster

ROOT = Path(__file__).parents[3]
LONGEST_END = 20.0
"""Seconds from the death of a worker to that of the others, on a machine that does little else."""
PARENT = """
import sys
from pipeline.cli.worker_processes import run_workers
sys.exit(run_workers([sys.executable, "-c", sys.argv[1]], int(sys.argv[2])))
"""
WORKER = """
import json, os, signal, sys, time
task = json.loads(os.environ["TF_CONFIG"])
index = task["task"]["index"]
def say(text): print(text, file=sys.stderr, flush=True)
def end(status):
    sys.stdout.flush()
    os._exit(status)
"""


def started(worker: str, count: int = 2) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, WORKER + worker, str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def ended(worker: str, count: int = 2) -> tuple[int, str, str]:
    process = started(worker, count)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_workers_know_of_each_other_and_the_chief_is_heard() -> None:
    status, out, err = ended("print(json.dumps(task)); end(0)", 3)
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert told["task"] == {"type": "worker", "index": 0}
    addresses = told["cluster"]["worker"]
    assert len(set(addresses)) == 3
    assert all(address.startswith("127.0.0.1:") for address in addresses)


@pytest.mark.parametrize(
    ("worker", "status", "err"),
    [
        # All find the same, and say it.
        ("say('growgan: too large'); end(2)", 2, "growgan: too large\n"),
        # One finds it, and the others only find it gone.
        ("if index: say('growgan: not whole'); end(2)\n"
         "say('growgan: a run ends with …'); time.sleep(0.3); end(69)",
         2, "growgan: not whole\n"),
        ("say(f'growgan: {index} is alone'); end(69)",
         69, "growgan: 0 is alone\ngrowgan: 1 is alone\n"),
        ("end(75)", 75, ""),
        ("if index: os.kill(os.getpid(), signal.SIGKILL)\n"
         "say('growgan: a run ends with …'); time.sleep(0.3); end(69)",
         69, "growgan: a run ends with any of its workers; to go on, repeat the command with "
         "--resume auto. Received: SIGKILL in worker 1 of 2, counted from 0\n"),
    ],
    ids=["all", "one", "none", "time limit", "killed"],
)  # fmt: skip
def test_the_status_is_that_of_the_worker_that_ended_the_run(
    worker: str, status: int, err: str
) -> None:
    assert ended(worker) == (status, "", err)


def test_workers_that_do_not_end_by_themselves_are_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = time.monotonic()
    hung = "import pipeline.cli.worker_processes as p; p.GRACE = 0.5\n" + PARENT
    monkeypatch.setattr(sys.modules[__name__], "PARENT", hung)
    assert ended("time.sleep(60) if index else end(1)")[0] == 1
    assert time.monotonic() - begun < LONGEST_END


def wait_for_end(process: int) -> None:
    """One that has ended may stay listed until somebody has asked for its status."""
    begun = time.monotonic()
    while True:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state in "ZX":
            return
        assert time.monotonic() - begun < 10.0
        time.sleep(0.01)


READY = "print('ready', flush=True); time.sleep(60)"
NOTES = """
def note(number, _): print(index, number, flush=True); end(128 + number)
signal.signal(signal.SIGINT, note); signal.signal(signal.SIGTERM, note)
print('ready', os.getpid(), flush=True); time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_passed_on(number: int) -> None:
    with started(NOTES) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        time.sleep(0.5)  # so that the second is ready too
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (128 + number, f"0 {number}\n", "")


def test_a_worker_that_a_passed_on_signal_ends_has_its_status() -> None:
    with started(READY) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143


def test_ctrl_c_as_the_second_signal_ends_workers_that_do_not_heed_the_first() -> None:
    with started(f"signal.signal(15, signal.SIG_IGN); {READY}") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        for _ in range(2):  # They may be saving what they did.
            process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 143


def test_workers_do_not_outlive_their_parent() -> None:
    with started(NOTES) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline().split()[1])
        process.kill()
    wait_for_end(worker)


TRAINING = (
    "--config", "quickstart",
    "--set", "schedule.resolution=4",
    "--set", "schedule.hold_images={4: 10000000}",
    "--set", "schedule.batch_size=8",
    "--set", "network.fmap_max=8",
    "--set", "network.latent_size=8",
    "--set", "run.log_images=16",
    "--set", "run.checkpoint_images=1600",
    "--resume", "auto",
    "--workers", "2",
)  # fmt: skip


Training = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def training(tmp_path: Path) -> Iterator[Training]:
    """Start a run; whatever still runs when the test ends is killed."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        records = ("--set", f"data.records={tmp_path / 'records'}")
        command = (sys.executable, "-m", "pipeline.cli", "train", *TRAINING, *records, *arguments)
        with (tmp_path / "log.txt").open("a") as log:
            process = subprocess.Popen(
                [*command, "--out", str(tmp_path / "run")],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, **environment},
            )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def longest_end_after(start: float) -> float:
    """Seconds that workers have to end, where they took so long to start and come to 160 images.

    On two idle cores that takes less than `LONGEST_END`; beside other tests both take longer.
    """
    return max(LONGEST_END, start)


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in children.read_text().split()]


def wait_for_images(process: subprocess.Popen[bytes], folder: Path, images: int) -> None:
    log = folder / "run" / "metrics.jsonl"
    while not (log.exists() and f'"images_seen": {images},' in log.read_text()):
        assert process.poll() is None, (folder / "log.txt").read_text()
        time.sleep(0.05)


@pytest.mark.new_interpreter
@pytest.mark.slow
def test_a_command_trains_in_two_workers_and_leaves_none_behind(
    training: Training, tmp_path: Path
) -> None:
    started_at = time.monotonic()
    process = training()
    wait_for_images(process, tmp_path, 160)
    longest_end = longest_end_after(time.monotonic() - started_at)
    workers = workers_of(process)
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    begun = time.monotonic()
    assert process.wait(max(60, longest_end)) == 69
    assert time.monotonic() - begun < longest_end
    for worker in workers:
        wait_for_end(worker)
    assert (tmp_path / "log.txt").read_text().endswith("worker 1 of 2, counted from 0\n")

    process = training()  # from the start: it was killed before its first checkpoint
    wait_for_images(process, tmp_path, 320)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert "they are saved" in (tmp_path / "log.txt").read_text()


@pytest.mark.new_interpreter
@pytest.mark.slow
def test_a_signal_that_comes_while_workers_come_together_is_not_lost(
    training: Training, tmp_path: Path
) -> None:
    addresses = free_addresses(2)
    first, second = (Cluster(addresses, index).tf_config() for index in range(2))
    early = training(TF_CONFIG=first)
    host, port = addresses[0].split(":")
    while True:
        try:
            socket.create_connection((host, int(port))).close()
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    time.sleep(1.0)
    early.send_signal(signal.SIGTERM)
    # Nobody else can have its address.
    assert training(TF_CONFIG=first).wait(60) == 2
    assert f"{addresses[0]} (Could not start gRPC server)" in (tmp_path / "log.txt").read_text()
    late = training(TF_CONFIG=second)
    assert early.wait(60) == 143
    assert late.wait(60) == 69
    assert not (tmp_path / "run").exists()


@pytest.mark.new_interpreter
@pytest.mark.slow
def test_a_worker_that_hangs_is_missed(training: Training, tmp_path: Path) -> None:
    """As it is where a machine has vanished: no connection tells of it."""
    addresses = free_addresses(2)
    started_at = time.monotonic()
    chief, hung = (training(TF_CONFIG=Cluster(addresses, index).tf_config()) for index in range(2))
    wait_for_images(chief, tmp_path, 160)
    longest_end = longest_end_after(time.monotonic() - started_at)
    hung.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    assert chief.wait(max(60, longest_end)) == 69
    print("missed after", time.monotonic() - begun)
    assert time.monotonic() - begun < longest_end
    assert "growgan: a run ends with any of its workers" in (tmp_path / "log.txt").read_text()
    hung.send_signal(signal.SIGCONT)
    assert hung.wait(3 * longest_end) == 69


@pytest.mark.new_interpreter
@pytest.mark.slow
def test_workers_of_other_configurations_are_refused_by_all(
    training: Training, tmp_path: Path
) -> None:
    addresses = free_addresses(2)
    processes = [
        training(
            "--set",
            f"run.checkpoint_images={1600 + index}",
            TF_CONFIG=Cluster(addresses, index).tf_config(),
        )
        for index in range(2)
    ]
    assert [process.wait(120) for process in processes] == [2, 2]
    line = (
        "growgan: all workers must have the same configuration and data. "
        "Received: another than the chief's in worker 1\n"
    )
    assert (tmp_path / "log.txt").read_text().count(line) == 2
