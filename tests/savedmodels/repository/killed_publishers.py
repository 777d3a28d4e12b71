"""Kill publishers in the middle of what they do, one at each step, and look at what is left.

    python tests/savedmodels/repository/killed_publishers.py FOLDER ACTION

A step is an operation on a file or folder of the repository, as Python's audit events tell them.
Prints how many there were, and all that was wrong.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from savedmodels.repository import publisher as publishing
from savedmodels.repository.publisher import publisher_of
from savedmodels.repository.repository import Repository
from savedmodels.repository.servers import Watchers
from savedmodels.repository.versions import About

TESTS = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("watching_server", TESTS / "watching_server.py")
assert SPEC is not None
assert SPEC.loader is not None
WATCHING = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(WATCHING)

WATCHED = Watchers(("http://server",))
STEPS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "shutil.move"}


def source(folder: Path, number: int) -> Path:
    savedmodel = folder / f"source-{number}"
    (savedmodel / "variables").mkdir(parents=True, exist_ok=True)
    (savedmodel / "saved_model.pb").write_text("graph")
    (savedmodel / "variables" / "variables.index").write_text(f"weights {number}")
    return savedmodel


def publish(folder: Path, number: int) -> None:
    """What `growgan publish` does with a source, a label and a number of versions to keep."""
    repository = Repository(folder / "repository")
    with publisher_of(repository, "faces", served_at="/repository") as publisher:
        version = publisher.publish(folder / f"source-{number}", About()).version
        publisher.promote("stable", version, WATCHED)
        publisher.retain(1)


def roll_back(folder: Path, _: int) -> None:
    with publisher_of(Repository(folder / "repository"), "faces") as publisher:
        publisher.roll_back("stable", WATCHED)


def go_on(folder: Path, _: int) -> None:
    """What every command does before anything else."""
    with publisher_of(Repository(folder / "repository"), "faces"):
        pass


Action = Callable[[Path, int], None]


def play(server: Any, folder: Path, action: Action, number: int, kill_at: int | None) -> bool:
    """Do it in a process of its own; whether it was killed at that step."""
    (here, there), (from_child, to_parent) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.fsync = lambda _: None  # Only a machine that loses its power would miss it.

        def wait(*_: object) -> None:
            os.write(to_parent, b"w")
            os.read(here, 1)

        publishing.failures = lambda *_: frozenset()
        publishing.wait_until_available = wait
        publishing.wait_until_labelled = wait
        steps = iter(range(1_000_000))

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event not in STEPS or "/repository" not in str(arguments[0]):
                return
            if next(steps) == kill_at:
                os.write(to_parent, b"s")
                time.sleep(1e6)

        sys.addaudithook(hook)
        try:
            action(folder, number)
            os.write(to_parent, b"e")
            os._exit(0)
        except BaseException as error:
            print(f"{action.__name__} raised {error!r}", file=sys.stderr)
            os._exit(1)
    os.close(to_parent)
    while (told := os.read(from_child, 1)) == b"w":
        server.poll()
        server.poll()
        os.write(there, b"g")
    if told == b"s":
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    for descriptor in (here, there, from_child):
        os.close(descriptor)
    assert told in (b"s", b"e"), status
    return told == b"s"


def wrong_after(server: Any, folder: Path, expected: set[int | None]) -> list[str]:
    """What a watcher objects to, and whether labels stand where they may."""
    server.poll()
    server.poll()
    standing = Repository(folder / "repository").label_state("faces")
    wrong = list(server.problems)
    if standing.labels.get("stable") not in expected:
        wrong.append(f"stable at {standing.labels.get('stable')}")
    for path in (folder / "repository").glob("*/*"):
        if path.name.isdecimal() and not WATCHING.is_whole(path):
            wrong.append(f"{path} is not whole")
    return wrong


def wrong_in_the_end(server: Any, folder: Path, versions: list[int], stable: int) -> list[str]:
    wrong = wrong_after(server, folder, {stable})
    repository = Repository(folder / "repository")
    if [each.version for each in repository.versions("faces")] != versions:
        wrong.append(f"versions {[each.version for each in repository.versions('faces')]}")
    wrong += [f"{path} is left" for path in repository.path.rglob(".*.tmp")]
    states = server.states.get("faces")
    if states != {stable: "AVAILABLE"}:
        wrong.append(f"loaded {states}")
    return wrong


def watching(folder: Path) -> Any:
    server = WATCHING.WatchingServer(folder / "repository" / "models.config")
    server.elsewhere = {"/repository": str(folder / "repository")}
    return server


def main(folder: Path, name: str) -> dict[str, Any]:
    wrong: list[str] = []
    before, start = 0 if name == "first" else 3, folder / "start"
    server = watching(start)
    for number in range(1, 5):
        source(start, number)
        if number <= before:
            play(server, start, publish, number, None)
    for step in range(10_000):
        place = folder / str(step)
        shutil.copytree(start, place)
        server = watching(place)
        server.states = {"faces": {before: "AVAILABLE"}} if before else {}
        action = roll_back if name == "roll_back" else publish
        killed = play(server, place, action, 4, step)
        after = {"first": 1, "publish": 4, "roll_back": 2}[name]
        found = wrong_after(server, place, {before or None, after})
        if name == "roll_back":
            # It may be done, or not begun: to ask for it again would go back further.
            play(server, place, go_on, 4, None)
            found += wrong_after(server, place, {before, after})
        else:
            play(server, place, publish, 4, None)
            there = {"first": [1], "publish": [3, 4]}[name]
            found += wrong_in_the_end(server, place, there, after)
        wrong += [f"step {step}: {each}" for each in found]
        shutil.rmtree(place)
        if not killed:
            return {"steps": step, "wrong": wrong}
    raise AssertionError("it never ended")


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2])))
