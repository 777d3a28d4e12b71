"""Start a fork server, and make the stand-in for the interpreter that goes to it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.orchestration.parent_process import die_with_parent

HERE = Path(__file__).parent
LONGEST_START = 300.0
"""Seconds within which a server has imported everything, on a busy machine."""
STAND_IN = """#!{python} -SE
import sys
sys.path.insert(0, {folder!r})
from interpreter import main
main({socket!r})
"""


@contextmanager
def forking_interpreter(folder: Path) -> Iterator[str]:
    """Path of a stand-in for `sys.executable` whose programs are forks of one process.

    Args:
        folder: For the stand-in, the server's socket and its log.
    """
    path, log = folder / "socket", folder / "log.txt"
    stand_in = folder / "python"
    text = STAND_IN.format(python=sys.executable, folder=str(HERE), socket=str(path))
    stand_in.write_text(text)
    stand_in.chmod(0o755)
    with log.open("w") as written:
        server = subprocess.Popen(
            [sys.executable, HERE / "server.py", path],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
    try:
        end = time.monotonic() + LONGEST_START
        while not path.exists():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, "the fork server did not start"
            time.sleep(0.02)
        yield str(stand_in)
    finally:
        server.kill()
        server.wait()
