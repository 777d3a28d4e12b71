"""Tests for the stand-in for the interpreter."""

import signal
import subprocess
from collections.abc import Callable

import pytest

TOLD = """
import signal
print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
print(signal.getsignal(signal.SIGUSR2) == signal.SIG_IGN)
"""


def test_signals_blocked_or_ignored_by_who_starts_a_program_are_so_in_it(python: str) -> None:
    def told(before: Callable[[], None] | None = None) -> list[bytes]:
        return subprocess.run(
            [python, "-c", TOLD], check=True, stdout=subprocess.PIPE, preexec_fn=before
        ).stdout.split()

    assert told() == [b"False", b"False"]

    def ignore() -> None:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)

    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        assert told(ignore) == [b"True", b"True"]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


WAITS = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("started")
signal.sigwait([signal.SIGUSR1])
print("went on")
"""


def test_a_blocked_signal_does_not_reach_a_program_by_its_stand_in(python: str) -> None:
    """As when Ctrl-C in a terminal goes to processes that leave it to their parent."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process = subprocess.Popen([python, "-u", "-c", WAITS], stdout=subprocess.PIPE)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.read() == b"went on\n"
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_program(python: str, number: signal.Signals) -> None:
    script = "print('started'); input()"
    with subprocess.Popen(
        [python, "-u", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.send_signal(number)
        assert process.wait(timeout=60) == -number
