"""Runs `growgan` again and again in processes of its own, and ends each as it is told.

    python tests/pipeline/lives.py LIVES.json

Each life is a fork of this process, which has imported TensorFlow and not yet computed. A life is
an object with

    arguments  of the command line
    log        file for what it writes; worker 1 of several writes to `log` with .1 added
    workers    processes that lead it together, which TF_CONFIG tells of each other
    ends       signals to send: [{"signal": 9, "worker": 1, "after": WHAT, "seconds": 0.02}, …], or
               []

where WHAT is `{"images": n}` (it trains, and the metrics have an entry of n images),
`{"writing": n}` (a checkpoint of at least n images is being written), `{"text": "…"}` (the log
holds it) or `{}`, and `seconds` pass in between. Prints a JSON list of objects, one for each life,
with the exit `statuses` of its workers, -9 for a kill, the `seconds` it took, those that it went on
`after` the last signal, and the number of unfinished checkpoints it left.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from pipeline.cli.worker_processes import free_addresses
from pipeline.training.distributed.cluster import Cluster

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


class Processes:
    """The workers of a life.

    Args:
        life: What each is to lead.
    """

    def __init__(self, life: dict[str, Any]) -> None:
        count = life["workers"]
        addresses = free_addresses(count)
        self.numbers: list[int] = []
        self.statuses: dict[int, int] = {}
        for index in range(count):
            process = os.fork()
            if not process:
                if count > 1:
                    os.environ["TF_CONFIG"] = Cluster(addresses, index).tf_config()
                lead_life(life["arguments"], log_of(life, index))
            self.numbers.append(process)

    def all_live(self) -> bool:
        for index, process in enumerate(self.numbers):
            if index not in self.statuses:
                found, status = os.waitpid(process, os.WNOHANG)
                if found:
                    self.statuses[index] = os.waitstatus_to_exitcode(status)
        return not self.statuses

    def send(self, signal: int, worker: int) -> None:
        if worker not in self.statuses:
            os.kill(self.numbers[worker], signal)

    def wait(self, seconds: float) -> list[int]:
        """The exit statuses, once all have ended; those that take longer are killed."""
        begun = time.monotonic()
        while len(self.statuses) < len(self.numbers):
            self.all_live()
            if time.monotonic() - begun > seconds:
                for index in range(len(self.numbers)):
                    self.send(9, index)
            time.sleep(POLL)
        return [self.statuses[index] for index in range(len(self.numbers))]


def log_of(life: dict[str, Any], worker: int) -> Path:
    return Path(life["log"] + (f".{worker}" if worker else ""))


def live(life: dict[str, Any]) -> dict[str, Any]:
    """A life, to its end."""
    arguments, log = life["arguments"], log_of(life, 0)
    run = Path(arguments[arguments.index("--out") + 1])
    begun = signalled = time.monotonic()
    log.write_text("")
    processes = Processes(life)
    for end in life["ends"]:
        while processes.all_live() and not come_to(end["after"], run, log):
            if time.monotonic() - begun > LONGEST:
                processes.wait(0.0)
            time.sleep(POLL)
        if processes.all_live():
            time.sleep(end.get("seconds", 0.0))
            processes.send(end["signal"], end.get("worker", 0))
            signalled = time.monotonic()
    statuses = processes.wait(LONGEST)
    return {
        "statuses": statuses,
        "seconds": time.monotonic() - begun,
        "after": time.monotonic() - signalled,
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

    lives = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps([live(life) for life in lives]))
