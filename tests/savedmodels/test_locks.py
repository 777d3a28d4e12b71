"""Locks, held and looked at."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from savedmodels import locks

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from pathlib import Path
from savedmodels.locks import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.new_interpreter  # It imports the module of locks alone.
def test_a_killed_process_frees_its_lock(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            assert locks.is_held(lock)
            with pytest.raises(locks.Busy), locks.hold(lock, wait=False):
                pass
        finally:
            other.kill()
    assert not locks.is_held(lock)
    with locks.hold(lock, wait=False):
        assert locks.is_held(lock)


def test_a_lock_is_waited_for_and_its_wait_is_told(tmp_path: Path) -> None:
    lock, waits, entered = tmp_path / "new" / ".lock", threading.Event(), threading.Event()

    def second() -> None:
        with locks.hold(lock, on_wait=waits.set):
            entered.set()

    with ThreadPoolExecutor() as other:
        with locks.hold(lock, on_wait=lambda: pytest.fail("nobody else holds it")):
            ended = other.submit(second)
            assert waits.wait(20)
            assert not entered.wait(0.1)
        ended.result()
    assert entered.is_set()
    assert list(tmp_path.rglob("*")) == [lock.parent, lock]


def test_a_lock_whose_file_its_holder_removes_is_taken_anew(tmp_path: Path) -> None:
    lock, waits = tmp_path / ".lock", threading.Event()

    def second() -> None:
        with locks.hold(lock, on_wait=waits.set):
            assert locks.is_held(lock)

    with ThreadPoolExecutor() as other:
        with locks.hold(lock):
            ended = other.submit(second)
            assert waits.wait(20)
            lock.unlink()
        ended.result()


def test_looking_writes_nothing_and_keeps_nobody_out(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    assert not locks.is_held(lock)
    assert not lock.exists()
    lock.touch(mode=0o400)
    tmp_path.chmod(0o500)
    assert not locks.is_held(lock)
    tmp_path.chmod(0o700)
    lock.chmod(0o600)
    # Not even in the moment in which it happens.
    with lock.open() as looked_at, ThreadPoolExecutor() as other:
        fcntl.flock(looked_at, fcntl.LOCK_SH)
        assert not locks.is_held(lock)
        other.submit(lambda: (time.sleep(0.2), fcntl.flock(looked_at, fcntl.LOCK_UN)))
        with locks.hold(lock, wait=False):
            pass


def test_a_lock_that_is_held_is_refused_at_once(tmp_path: Path) -> None:
    lock, began = tmp_path / ".lock", time.monotonic()
    with locks.hold(lock), pytest.raises(locks.Busy), locks.hold(lock, wait=False):
        pass
    assert time.monotonic() - began < locks.GLANCE


def test_only_locks_that_are_not_required_do_without_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with locks.hold(tmp_path / ".lock", wait=False, required=False):
        pass
    with pytest.raises(OSError, match="not implemented"), locks.hold(tmp_path / ".lock"):
        pass
