"""Runs `growgan` again and again in processes of its own, and ends each as it is told.

    python tests/pipeline/lives.py LIVES.json

TensorFlow takes seconds to import: it is imported here once, and each life is a fork of this
process from before TensorFlow first computes. A life is an object with

    arguments  of the command line
    log        file for what it writes
    ends       signals to send: [{"signal": 9, "after": WHAT, "seconds": 0.02}, …], or []

where WHAT is `{"images": n}` (it trains, and the metrics have an entry of n images),
`{"writing": n}` (a checkpoint of at least n images is being written), `{"text": "…"}` (the log
holds it) or `{}`, and `seconds` pass in between. Prints a JSON list of objects, one for each life,
with its exit `status`, -9 for a kill, the `seconds` it took, and the number of unfinished
checkpoints it left.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

LONGEST = 300.0
POLL = 0.001


def come_to(what: dict[str, Any], run: Path, log: Path) -> bool:
    """Whether a life has come to a point."""
    try:
        if "images" in what:
            if " images on\n" not in log.read_text():
                return False
            lines = (run / "metrics.jsonl").read_text().splitlines()
            return bool(lines) and json.loads(lines[-1])["images_seen"] >= what["images"]
        if "writing" in what:
            names = [path.name for path in (run / "checkpoints").glob(".images-*.tmp")]
            begun = (int(re.findall(r"\d+", name)[0]) for name in names)
            return any(images >= what["writing"] for images in begun)
        return what.get("text", "") in log.read_text()
    except (OSError, ValueError):
        return False


def ended(process: int) -> int | None:
    """The exit status of a life, or None while it lasts."""
    found, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def live(life: dict[str, Any]) -> dict[str, Any]:
    """A life, to its end."""
    arguments, log = life["arguments"], Path(life["log"])
    run = Path(arguments[arguments.index("--out") + 1])
    begun = time.monotonic()
    log.write_text("")
    process = os.fork()
    if not process:
        lead_life(arguments, log)
    status = None
    for end in life["ends"]:
        while status is None and not come_to(end["after"], run, log):
            if time.monotonic() - begun > LONGEST:
                os.kill(process, 9)
            time.sleep(POLL)
            status = ended(process)
        if status is None:
            time.sleep(end.get("seconds", 0.0))
            os.kill(process, end["signal"])
    if status is None:
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return {
        "status": status,
        "seconds": time.monotonic() - begun,
        "unfinished": len(list((run / "checkpoints").glob(".images-*.tmp"))),
    }


def lead_life(arguments: list[str], log: Path) -> None:
    """The command line as its own process has it."""
    from pipeline import cli

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = ["growgan", *arguments]
    status: Any = 1
    try:
        cli.main()
        status = 0
    except SystemExit as error:
        status = error.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    # All that a life imports, so that none has to.
    import pipeline.console
    import pipeline.generating
    import pipeline.training.deadline
    import pipeline.training.monitors
    import pipeline.training.replicas  # noqa: F401

    lives = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps([live(life) for life in lives]))
