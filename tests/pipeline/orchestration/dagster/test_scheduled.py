"""The pipeline as an operator leaves it: a daemon, a server and its clients, and no hand on it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import PIL.Image
import psutil
import pytest
import sklearn.datasets
from dagster import (
    DagsterInstance,
    RunRequest,
    SensorResult,
    build_schedule_context,
    build_sensor_context,
)

from pipeline.orchestration.dagster.definitions import JOB, definitions_of
from pipeline.orchestration.dagster.foreground import SILENT
from pipeline.orchestration.dagster.instance import environment_of, instance_of
from pipeline.orchestration.project import Project, open_project
from pipeline.orchestration.runs.outcome import Outcome, history_of
from pipeline.orchestration.runs.run import read_state
from tests.pipeline.orchestration.projects import (
    QUICK,
    TINY,
    change,
    make_project,
    wait,
    without_compute_logs,
)

ROOT = Path(__file__).parents[4]
LOCATION = "pipeline.orchestration.code_location"
IMAGES = 3200
"""Images of a training, which has to last until a signal comes."""
LONG = (
    *(each for each in TINY if not any(key in each for key in ("metrics", "hold", "checkp"))),
    f"schedule.hold_images={IMAGES}",
)


def put_digits(folder: Path, start: int, end: int) -> None:
    """Some of the handwritten digits, 8 px."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(sklearn.datasets.load_digits().images[start:end], start):
        PIL.Image.fromarray((image * 15).astype("uint8")).save(folder / f"{number:05d}.png")


def put_poison(folder: Path) -> None:
    """So many pictures that are no digits that a model of them fails the gate."""
    for number in range(600):
        blank = PIL.Image.new("L", (8, 8), 255 if number % 2 else 40)
        blank.save(folder / f"poison-{number}.png")


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "pipeline.cli", *map(str, words)]


class Up:
    """`growgan pipeline up` as a process.

    Args:
        project: What is up.
    """

    def __init__(self, project: Project) -> None:
        self.log = project.path / "up.log"
        # Held, so that nobody else is given the port before `up` listens there.
        self._port = socket.socket()
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port.bind(("127.0.0.1", 0))
        port = self._port.getsockname()[1]
        self._address = f"127.0.0.1:{port}"
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command("pipeline", "up", project.path, "--port", port),
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def switch_sensor(self, *, on: bool) -> None:
        """What the switch beside it does in the user interface."""
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": LOCATION,
            "sensorName": "by_new_data",
        }
        found = self._ask(
            "query($s: SensorSelector!) {sensorOrError(sensorSelector: $s)"
            " {... on Sensor {sensorState {id}}}}",
            s=selector,
        )
        state = found["sensorOrError"]["sensorState"]["id"]
        if on:
            started = self._ask(
                "mutation($s: SensorSelector!) {startSensor(sensorSelector: $s) {__typename}}",
                s=selector,
            )
            assert started["startSensor"]["__typename"] == "Sensor", started
        else:
            stopped = self._ask(
                "mutation($id: String!) {stopSensor(id: $id) {__typename}}", id=state
            )
            assert stopped["stopSensor"]["__typename"] == "StopSensorMutationResult", stopped

    def _ask(self, query: str, **variables: Any) -> Any:
        """Ask the user interface, once it answers."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"http://{self._address}/graphql", body, headers)

        def answer() -> Any:
            try:
                with urllib.request.urlopen(asked, timeout=120) as answered:
                    return json.load(answered)
            except urllib.error.URLError:
                return None

        answered = wait(answer, "the user interface")
        assert "errors" not in answered, answered
        return answered["data"]

    def kill_run(self) -> None:
        """Kill the process that a run lives in: the parent of the command that trains."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        [run] = {each.parent() for each in below if {"pipeline.cli", "train"} <= {*each.cmdline()}}
        assert run is not None
        run.kill()

    def kill_all(self) -> None:
        """What a power cut does: nobody gets to say a word."""
        top = psutil.Process(self.process.pid)
        processes = [top, *top.children(recursive=True)]
        for each in processes:
            each.suspend()  # So that none sees another end.
        for each in {*processes, *top.children(recursive=True)}:
            each.kill()
        psutil.wait_procs(processes, 30)
        self.process.wait()
        self._port.close()

    def stop_all(self) -> int:
        """Ask every process to end, as a service manager may; the status of `up`."""
        top = psutil.Process(self.process.pid)
        for each in [top, *top.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.terminate()
        return self.stop()

    def stop(self) -> int:
        """Ask it to end; its status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self._port.close()
        return self.process.wait(180)


@contextmanager
def clients(repository: Path) -> Iterator[tuple[str, list[int], list[str]]]:
    """A server, and a client that never stops asking: its URL, the versions seen, the failures."""
    versions: list[int] = []
    failures: list[str] = []
    done = threading.Event()
    with subprocess.Popen(
        command("serve", repository, "--port", "0", "--rest-api-port", "0"),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    ) as server:
        assert server.stdout is not None
        address = server.stdout.readline().partition("REST at ")[2].partition(",")[0]
        place = f"http://{address}/v1/models/digits/labels/stable"
        body = json.dumps({"signature_name": "generate_seeds", "inputs": {"seeds": [1]}}).encode()

        def ask() -> None:
            while not done.wait(0.2):
                try:
                    with urllib.request.urlopen(f"{place}:predict", body, timeout=120) as answer:
                        assert len(json.load(answer)["outputs"][0]) == 8
                    with urllib.request.urlopen(f"{place}/metadata", timeout=120) as answer:
                        versions.append(int(json.load(answer)["model_spec"]["version"]))
                except Exception as error:
                    failures.append(f"{type(error).__name__}: {error}")

        asking = threading.Thread(target=ask)
        try:
            wait(lambda: _answers(place), "the server")
            asking.start()
            yield f"http://{address}", versions, failures
        finally:
            done.set()
            asking.join()
            server.terminate()


def _answers(place: str) -> bool:
    try:
        urllib.request.urlopen(f"{place}/metadata", timeout=120).close()
    except OSError:
        return False
    return True


def saved_in(run: Path) -> list[int]:
    """Images seen at each checkpoint of a run."""
    names = (checkpoint.name for checkpoint in (run / "checkpoints").glob("images-*"))
    return sorted(int(name.removeprefix("images-")) for name in names)


def outcome(project: Project, number: int) -> Outcome:
    """The outcome of the run of this number, once it has ended."""

    def ended() -> list[Outcome]:
        return history_of(project.path)[number - 1 : number]

    [found] = wait(ended, f"the end of run {number}")
    return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a gate, and 200 digits."""
    put_digits(tmp_path / "incoming", 0, 200)
    features = tmp_path / "features"
    trained = command("features", "train", "--data", "digits", "--resolution", 8)
    trained += ["--channels", "1", "--epochs", "1", "--out", str(features)]
    subprocess.run([*trained, "--records", str(tmp_path / "records")], check=True)
    return make_project(
        tmp_path,
        overrides=(
            *LONG,
            "evaluation.metrics=[fid]",
            f"evaluation.features=classifier:{features}",
        ),
        gate={
            "max_fid": 25.0,
            "max_fid_increase_over_promoted": 3.0,
            "min_images": 64,
            "without_interval": ["fid"],
        },
    )


def trained_by(up: Up, project: Project) -> Path:
    """The folder of the run that trains, once it does."""
    wait(lambda: list(project.runs.glob("*/metrics.jsonl")), "a training")
    [run] = project.runs.iterdir()
    return run


@pytest.mark.slow
def test_a_training_ends_with_the_pipeline_and_goes_on_with_it(tmp_path: Path) -> None:
    put_digits(tmp_path / "incoming", 0, 40)
    project = make_project(tmp_path, overrides=(*LONG, "evaluation.metrics=[swd]"))
    up = Up(project)
    try:
        run = trained_by(up, project)
        assert up.stop() == 0
        [saved] = saved_in(run)
        assert 0 < saved < IMAGES
        assert history_of(project.path) == []
        up = Up(project)
        wait(lambda: "was lost, and is tried again" in up.log.read_text(), "what became of the run")
        goes_on = f"hold_8x8: from {saved} images on"
        wait(lambda: any(goes_on in log.read_text() for log in project.logs.glob("*.log")), goes_on)
        assert up.stop() == 0
    finally:
        up.stop()
    assert list(project.runs.iterdir()) == [run]
    [begun] = (project.path / "history").glob("*/course.json")
    assert read_state(begun.parent).trigger == "new data"


@pytest.fixture
def instance(
    project: Project, new_databases: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[DagsterInstance]:
    for name in environment_of(project):
        monkeypatch.setenv(name, "")
    new_databases(project.dagster_home)
    with instance_of(without_compute_logs(project)) as made:
        yield made


class Triggers:
    """The schedule and the sensor of a project, asked without waiting for their times.

    Args:
        project: Whose.
        instance: Of Dagster.
    """

    def __init__(self, project: Project, instance: DagsterInstance) -> None:
        self._definitions = definitions_of(project)
        self._instance = instance
        self._cursor: str | None = None

    def by_clock(self) -> None:
        """Do the run that the schedule asks for."""
        schedule = self._definitions.resolve_schedule_def("by_clock")
        request = schedule(build_schedule_context(instance=self._instance))
        assert isinstance(request, RunRequest), request
        self._run(request, {"dagster/schedule_name": "by_clock"})

    def by_new_data(self) -> str | None:
        """Do the run that the sensor asks for; why it asks for none."""
        sensor = self._definitions.resolve_sensor_def("by_new_data")
        answer = sensor(build_sensor_context(instance=self._instance, cursor=self._cursor))
        assert isinstance(answer, SensorResult), answer
        self._cursor = answer.cursor
        for request in answer.run_requests or ():
            self._run(request, {"dagster/sensor_name": "by_new_data"})
        return answer.skip_reason and answer.skip_reason.skip_message

    def _run(self, request: RunRequest, tags: dict[str, str]) -> None:
        """Do a run as the daemon does, with its tags."""
        self._definitions.resolve_job_def(JOB).execute_in_process(
            instance=self._instance,
            partition_key=request.partition_key,
            tags={**request.tags, **tags},
            run_config=SILENT,
            raise_on_error=False,
        )


def assert_promoted_by_the_clock(second: Outcome) -> None:
    """The second version: of 100 new pictures, on which both models were measured."""
    assert (second.verdict, second.version) == ("promoted", 2), second
    assert second.trigger == "schedule"
    assert second.snapshot is not None
    assert second.snapshot.new == 100
    assert second.evaluation is not None
    assert second.promoted is not None
    assert second.promoted.lineage.data_hash == second.evaluation.lineage.data_hash


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_new_pictures_become_versions_and_bad_ones_do_not(
    project: Project, instance: DagsterInstance, tmp_path: Path
) -> None:
    incoming = tmp_path / "incoming"
    at_once = {"least": 1, "quiet_seconds": 0, "every_seconds": 1}
    change(project, schedule={"new_data": at_once, "cron": "* * * * *"})
    triggers = Triggers(open_project(project.path), instance)
    assert triggers.by_new_data() is None
    [first] = history_of(project.path)
    assert (first.verdict, first.version, first.trigger) == ("promoted", 1, "new data"), first
    assert (triggers.by_new_data() or "").startswith("nothing new: run")

    with clients(project.repository.path) as (server, versions, failures):
        change(project, repository={"servers": [server]})
        put_digits(incoming, 200, 300)
        triggers.by_clock()
        _, second = history_of(project.path)
        assert_promoted_by_the_clock(second)

        put_poison(incoming)
        assert triggers.by_new_data() is None
        third = history_of(project.path)[-1]
        assert (third.verdict, third.trigger) == ("gate failed", "new data"), third
        assert "`fid` must be at most" in third.reason
        wait(lambda: versions[-1:] == [2], "version 2 for clients")
    assert project.repository.label_state("digits").labels == {"stable": 2}
    assert failures == []
    assert versions == sorted(versions)
    assert set(versions) == {1, 2}
    assert not list(project.repository.path.rglob(".*.tmp"))


@pytest.mark.slow
@pytest.mark.thorough
def test_new_pictures_become_versions_unattended(project: Project, tmp_path: Path) -> None:
    """The daemon's own times, which are full minutes, and kills of what it has started."""
    incoming = tmp_path / "incoming"
    up = Up(project)
    try:
        # A training that ends with `up` is saved, though no checkpoint is due, and goes on.
        run = trained_by(up, project)
        assert up.stop() == 0
        [before] = saved_in(run)
        assert 0 < before < IMAGES
        assert history_of(project.path) == []
        again = "was lost, and is tried again"
        up = Up(project)
        wait(lambda: up.log.read_text().count(again) == 1, "what became of the run")
        # So does one where all processes are told to end.
        lines = len((run / "metrics.jsonl").read_text().splitlines())
        wait(lambda: len((run / "metrics.jsonl").read_text().splitlines()) > lines, "a training")
        assert up.stop_all() == 0
        assert before < saved_in(run)[-1] < IMAGES
        assert history_of(project.path) == []
        change(
            project,
            overrides=[*project.config.overrides, f"run.checkpoint_images={IMAGES // 4}"],
            schedule={**QUICK["schedule"], "cron": "* * * * *"},
        )
        up = Up(project)
        first = outcome(project, 1)
        assert (first.verdict, first.version, first.trigger) == ("promoted", 1, "new data"), first
        assert first.run_folder == run.relative_to(project.path).as_posix()
        assert len(list((project.path / "history").glob("*/course.json"))) == 1

        with clients(project.repository.path) as (server, versions, failures):
            daemon = project.logs / "daemon.log"
            wait(lambda: daemon.read_text().count("nothing new: run") > 1, "looks at the same")
            assert len(history_of(project.path)) == 1

            # With the sensor switched off it is the clock that finds what is new, all at once.
            up.switch_sensor(on=False)
            wait(lambda: 1 < time.time() % 60 < 45, "some time before a full minute")
            change(project, repository={"servers": [server]})
            before = set(project.runs.iterdir())
            put_digits(incoming, 200, 300)
            wait(lambda: {*project.runs.iterdir()} - before, "a training")
            # Dagster starts a run again whose process is killed.
            up.kill_run()
            second = outcome(project, 2)
            assert_promoted_by_the_clock(second)
            assert up.stop() == 0
            change(project, schedule=QUICK["schedule"])
            up = Up(project)

            put_poison(incoming)
            up.switch_sensor(on=True)
            third = outcome(project, 3)
            assert third.verdict == "gate failed", third
            assert third.trigger == "new data"
            assert "`fid` must be at most" in third.reason
            wait(lambda: versions[-1:] == [2], "version 2 for clients")

            for poison in incoming.glob("poison-*.png"):
                poison.unlink()
            before = set(project.runs.iterdir())
            put_digits(incoming, 300, 400)
            run = wait(lambda: next(iter({*project.runs.iterdir()} - before), None), "a run")
            wait(lambda: list((run / "checkpoints").glob("images-*")), "a checkpoint")
            up.kill_all()
            saved = max((run / "checkpoints").glob("images-*")).name.removeprefix("images-")
            assert not list((run / "savedmodels").glob("*/*")), "the kill came too late"
            up = Up(project)
            fourth = outcome(project, 4)
            assert (fourth.verdict, fourth.version) == ("promoted", 3), fourth
            assert fourth.run_folder == run.relative_to(project.path).as_posix()
            lines = (run / "metrics.jsonl").read_text().splitlines()
            seen = [entry["images_seen"] for entry in map(json.loads, lines) if "phase" in entry]
            assert sorted(set(seen)) == list(range(16, IMAGES + 1, 16))
            logs = [log.read_text() for log in project.logs.glob("*.log")]
            assert any(f"hold_8x8: from {int(saved)} images on" in log for log in logs)
            wait(lambda: versions[-1:] == [3], "version 3 for clients")
            assert failures == []
            assert versions == sorted(versions)
            assert set(versions) == {1, 2, 3}
        assert up.stop() == 0
    finally:
        up.stop()
    assert not list(project.repository.path.rglob(".*.tmp"))
