"""`growgan data serve` as a command, and runs that it serves."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.pipeline.cli.commands import TINY, Growgan


def address() -> str:
    """Address whose port and the next one are free."""
    while True:
        with socket.socket() as free, socket.socket() as following:
            free.bind(("", 0))
            port = free.getsockname()[1]
            with suppress(OSError):
                following.bind(("", port + 1))
                return f"localhost:{port}"


@pytest.mark.parametrize("wrong", ["a", "a:0", "a:65535", "a:99999", "grpc://b:1"])
def test_a_wrong_address_is_one_line_and_status_2(growgan: Growgan, wrong: str) -> None:
    assert_refused(growgan, wrong, f"like `host:5001`. Received: {wrong!r}")


@pytest.mark.parametrize("offset", [0, 1])
def test_a_port_in_use_is_refused(growgan: Growgan, offset: int) -> None:
    with socket.socket() as other:
        # As gRPC does, which would share the port without a word.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        port = int(address().rpartition(":")[2]) + 1
        other.bind(("", port))
        other.listen()
        rule = f"must be free. Received: {port}"
        assert_refused(growgan, f"localhost:{port - offset}", rule)


def assert_refused(growgan: Growgan, given: str, rule: str) -> None:
    result = growgan("data", "serve", "--address", given)
    assert result.status == 2
    assert result.err.count("\n") == 1
    assert rule in result.err


@contextmanager
def serve(address: str, signal_at_end: signal.Signals) -> Iterator[None]:
    """A server in a process of its own, which listens when this is entered."""
    command = [sys.executable, "-m", "pipeline.cli", "data", "serve", "--address", address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == f"serving on {address}\n"
        yield
        server.send_signal(signal_at_end)
        assert server.wait(20) == -signal_at_end


def train(workspace: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    records = ("--set", f"data.records={workspace / 'records'}")
    command = (
        sys.executable, "-m", "pipeline.cli", "train", *TINY, *records, *more, "--out", str(out)
    )  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def metrics(run: Path) -> list[str]:
    """The lines of a run's metrics, without what depends on the time."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [line.partition(', "images_per_second"')[0] for line in lines if '"alarm"' not in line]


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_a_run_that_is_served_is_the_same_run(workspace: Path, tmp_path: Path) -> None:
    addresses = [address(), address()]
    with serve(addresses[0], signal.SIGINT), serve(addresses[1], signal.SIGTERM):
        servers = f"data.servers=[{','.join(addresses)}]"
        with train(workspace, tmp_path / "served", "--set", servers) as run:
            assert run.communicate()[1] == ""
    assert metrics(tmp_path / "served") == metrics(workspace / "run")
    assert len(metrics(workspace / "run")) >= 12


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_a_server_that_begins_anew_is_told_and_so_is_one_that_is_not_there(
    workspace: Path, tmp_path: Path
) -> None:
    where = address()
    options = (
        "--set", f"data.servers=[{where}]", "--set", "schedule.resolution=4",
        "--set", "schedule.hold_images=40000",
    )  # fmt: skip
    with serve(where, signal.SIGKILL):
        run = train(workspace, tmp_path / "run", *options)
        assert run.stdout is not None
        while not run.stdout.readline().startswith("hold_4x4: 256/"):
            assert run.poll() is None
    with serve(where, signal.SIGTERM), run:
        said = run.communicate()[1]
    assert run.returncode == 2
    assert "start it again, and resume the run with --resume auto. Received: localhost:" in said
    assert said.count("\n") == 1
    with train(workspace, tmp_path / "run", *options, "--resume", "auto") as refused:
        assert "each of `data.servers` must be running" in refused.communicate()[1]


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_a_server_that_stays_away_is_an_alarm_and_ends_a_run_that_is_to_stop(
    workspace: Path, tmp_path: Path
) -> None:
    where = address()
    options = (
        "--set", f"data.servers=[{where}]", "--set", "schedule.resolution=4",
        "--set", "schedule.hold_images=40000",
        "--set", "alarms.starvation=stop", "--set", "alarms.starvation_seconds=3",
    )  # fmt: skip
    with serve(where, signal.SIGKILL):
        run = train(workspace, tmp_path / "run", *options)
        assert run.stdout is not None
        while not run.stdout.readline().startswith("hold_4x4: 256/"):
            assert run.poll() is None
    with run:
        said = run.communicate(timeout=120)[1]
    assert run.returncode == 3
    [line] = said.splitlines()
    assert line.startswith("growgan: alarm starvation: no batch has come for ")
    assert line.endswith("The run is stopped; its last good checkpoint is kept")
    with serve(where, signal.SIGTERM):
        going_on = train(workspace, tmp_path / "run", *options, "--resume", "auto")
        assert going_on.stdout is not None
        while not going_on.stdout.readline().startswith("hold_4x4: 320/"):
            assert going_on.poll() is None
        with going_on:
            going_on.terminate()
            going_on.communicate()
    assert going_on.returncode == 143
