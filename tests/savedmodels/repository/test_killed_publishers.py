"""A publisher may be killed at any step, and others may publish beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from savedmodels.repository.history import read_history
from savedmodels.repository.publisher import Published, publisher_of
from savedmodels.repository.repository import Repository
from savedmodels.repository.versions import About

ROOT = Path(__file__).parents[3]
KILLED = Path(__file__).with_name("killed_publishers.py")
PUBLISH = """
import sys, time
from pathlib import Path
from savedmodels.repository.publisher import publisher_of
from savedmodels.repository.repository import Repository
from savedmodels.repository.versions import About
base, source, ready, go = map(Path, sys.argv[1:5])
def pause(event, arguments):
    if event == sys.argv[5] and "/models/" in str(arguments[0]):
        ready.touch()
        while not go.exists():
            time.sleep(0.01)
sys.addaudithook(pause)
with publisher_of(Repository(base), "faces") as publisher:
    print(publisher.publish(source, About()).version)
"""
Make = Callable[..., Path]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.new_interpreter
@pytest.mark.parametrize(
    "action",
    [
        pytest.param("first", marks=pytest.mark.slow),
        pytest.param("publish", marks=pytest.mark.slow),
        "roll_back",
    ],
)
def test_a_publisher_may_be_killed_at_any_step(action: str, tmp_path: Path) -> None:
    # It forks hundreds of times: in a fork that holds TensorFlow each takes three times as long.
    result = subprocess.run(
        [sys.executable, str(KILLED), str(tmp_path), action],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["wrong"] == []
    assert told["steps"] > {"first": 40, "publish": 60, "roll_back": 20}[action]


def test_what_a_living_publisher_writes_is_left_alone_and_waited_for(
    repository: Repository, savedmodel: Make, tmp_path: Path, python: str
) -> None:
    one, two = savedmodel(tmp_path / "1", "a"), savedmodel(tmp_path / "2", "b")
    ready, go = tmp_path / "ready", tmp_path / "go"
    words = [repository.path, one, ready, go, "os.rename"]
    other = subprocess.Popen(
        [python, "-c", PUBLISH, *map(str, words)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    while not ready.exists() and other.poll() is None:
        time.sleep(0.01)
    seen: list[Path] = []

    def waited(lock: Path) -> None:
        seen.extend([lock, *lock.parent.glob(".*.tmp")])
        go.touch()

    with publisher_of(repository, "faces", on_wait=waited) as publisher:
        assert publisher.publish(two, About()) == Published(2, new=True)
    assert other.communicate()[0] == "1\n"
    assert len(seen) == 2
    assert not list(repository.path.rglob(".*.tmp"))


def test_publishers_at_the_same_time_get_versions_of_their_own(
    repository: Repository, savedmodel: Make, watching: ModuleType, tmp_path: Path, python: str
) -> None:
    sources = [savedmodel(tmp_path / str(n), str(n % 4)) for n in range(6)]
    go, broken, ended = tmp_path / "go", [], threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            for path in repository.path.glob("*/*"):
                if path.name.isdecimal() and not watching.is_whole(path):
                    broken.append(path)

    watcher = threading.Thread(target=watch)
    watcher.start()
    processes = []
    for n, source in enumerate(sources):
        ready = tmp_path / f"ready-{n}"
        words = [repository.path, source, ready, go, "fcntl.flock"]
        processes.append(
            subprocess.Popen(
                [python, "-c", PUBLISH.replace('"/models/" in str(arguments[0])', "True"),
                 *map(str, words)],
                env=environment(),
                stdout=subprocess.PIPE,
                text=True,
            )
        )  # fmt: skip
    while not all((tmp_path / f"ready-{n}").exists() for n in range(6)):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    go.touch()
    versions = [int(process.communicate()[0]) for process in processes]
    ended.set()
    watcher.join()
    assert sorted(set(versions)) == [1, 2, 3, 4]
    assert versions[0] == versions[4]
    assert versions[1] == versions[5]
    assert broken == []
    assert [each.version for each in repository.versions("faces")] == [1, 2, 3, 4]
    kinds = [event.event for event in read_history(repository.path / "faces")]
    assert kinds == ["published"] * 4
