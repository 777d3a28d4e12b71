"""Each command as a user starts it, in a new interpreter; other tests fork or call them.

What is not here, `test_publish_and_serve.py` starts so (train, generate, export, verify, publish
and serve), or the tests of the scheduled pipeline (pipeline run and up).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.new_interpreter]

COMMANDS = {
    "evaluate RUN --num-images 32 --metrics swd --set data.source=digits --elsewhere NEW": (
        0,
        "SWD ",
    ),
    "gate RUN": (2, "growgan: "),
    "compare RUN RUN": (2, "growgan: "),
    "presets": (0, "quickstart "),
    "config quickstart": (0, "schedule:"),
    "import NEW --out NEW": (2, "growgan: "),
    "features train --data digits --out NEW --epochs 0": (2, "growgan: "),
    "data check digits --out NEW": (0, "1797"),
    "data prepare digits NEW --resolution 4": (0, "1797"),
    "data verify NEW": (2, "growgan: "),
    "data serve --address a:0": (2, "growgan: "),
    "pipeline init NEW": (2, "growgan: "),
    "pipeline status NEW": (2, "growgan: "),
}
"""Commands with their exit status and a part of what they say; a refusal is one line."""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs_in_a_new_interpreter(command: str, workspace: Path, tmp_path: Path) -> None:
    status, said = COMMANDS[command]
    places = {"RUN": str(workspace / "run"), "NEW": str(tmp_path / "new")}
    words = [places.get(word, word) for word in command.split()]
    ended = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *words], capture_output=True, text=True, check=False
    )
    assert ended.returncode == status, ended.stderr
    assert said in (ended.stderr if status else ended.stdout)
    assert ended.stderr.count("\n") == (status > 0)
