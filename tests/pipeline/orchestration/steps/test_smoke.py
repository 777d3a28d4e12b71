"""Servers that answer as the export did, and those that do not: the label then goes back."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.orchestration import steps
from pipeline.orchestration.plan import Plan
from pipeline.orchestration.project import Project
from pipeline.orchestration.runs.ending import end_run
from pipeline.orchestration.runs.failure import RunFailure, StepFailed
from pipeline.orchestration.runs.run import Run, begin_run
from pipeline.orchestration.snapshots import take
from pipeline.orchestration.steps import smoke
from pipeline.orchestration.steps.smoke import find_fault
from savedmodels import golden
from savedmodels.access import TOKEN_VARIABLE
from savedmodels.layout import GOLDEN
from savedmodels.repository.publisher import publisher_of
from savedmodels.repository.versions import About
from tests.pipeline.orchestration.projects import TINY, make_project, put_pictures
from tests.savedmodels.server.conftest import Server, run_server

PLACE = "/v1/models/digits/labels/stable"
ZEROS = np.zeros((1, 2, 2, 1), np.float32)


@contextmanager
def answering(answers: Mapping[str, tuple[int, str]], token: str | None = None) -> Iterator[str]:
    """A server with an answer for each path, to who bears the token; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            if token is not None and self.headers["Authorization"] != f"Bearer {token}":
                self.send_error(401)
                return
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            status, text = answers[self.path]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = _answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """The golden request of a version, which answers zeros."""
    request = golden.Request({"latents": np.ones((1, 2), np.float32)}, {"images": ZEROS})
    (tmp_path / GOLDEN).parent.mkdir()
    golden.write(tmp_path / GOLDEN, {"serving_default": request})
    return tmp_path


METADATA = (200, '{"model_spec": {"version": "2"}}')


def outputs(value: Any) -> tuple[int, str]:
    return 200, json.dumps({"outputs": value})


@pytest.mark.parametrize(
    ("metadata", "predict", "fault"),
    [
        (METADATA, outputs((ZEROS + 0.009).tolist()), None),
        (METADATA, outputs((ZEROS + 0.011).tolist()), "within 0.01. Received: 0.011 away"),
        (METADATA, (200, '{"outputs": [[[[NaN], [0]], [[0], [0]]]]}'), "Received: inf away"),
        (METADATA, outputs(ZEROS[0].tolist()), "must have the shape (1, 2, 2, 1)"),
        (METADATA, outputs(["a"]), "must have the shape (1, 2, 2, 1)"),
        (METADATA, (500, '{"error": "no memory"}'), 'answers 500: {"error": "no memory"}'),
        (METADATA, (200, "<html>"), "must answer. Received: JSONDecodeError"),
        (METADATA, (200, "[]"), "must answer. Received: TypeError"),
        ((200, '{"model_spec": {"version": "1"}}'), (200, ""), "version 2 there. Received: 1"),
        ((404, "unknown label"), (200, ""), "answers 404: unknown label"),
    ],
)
def test_what_a_server_answers_is_held_to_the_export(
    version: Path, metadata: tuple[int, str], predict: tuple[int, str], fault: str | None
) -> None:
    answers = {f"{PLACE}/metadata": metadata, f"{PLACE}:predict": predict}
    with answering(answers) as server:
        found = find_fault(server, "digits", "stable", 2, version)
    if fault is None:
        assert found is None
    else:
        assert found is not None
        assert fault in found
        assert server in found


def test_a_server_that_asks_for_a_token(version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {f"{PLACE}/metadata": METADATA, f"{PLACE}:predict": outputs(ZEROS.tolist())}
    with answering(answers, token="secret") as server:
        monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
        refused = find_fault(server, "digits", "stable", 2, version)
        assert refused is not None
        assert refused.startswith(f"{server} answers 401: ")
        monkeypatch.setenv(TOKEN_VARIABLE, "secret")
        assert find_fault(server, "digits", "stable", 2, version) is None


def test_a_server_that_is_not_there_is_a_fault(version: Path) -> None:
    with answering({}) as server:
        pass
    found = find_fault(server, "digits", "stable", 2, version)
    assert found is not None
    assert found.startswith(f"{server} must answer. Received: URLError")


def test_a_signal_while_our_own_server_starts_leaves_no_thread_to_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> str:
        raise KeyboardInterrupt

    @contextmanager
    def child(*_: Any, **__: Any) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(stdout=SimpleNamespace(readline=interrupted), kill=lambda: None)

    monkeypatch.setattr(smoke, "child", child)
    before = threading.enumerate()
    with pytest.raises(KeyboardInterrupt), smoke.own_server(tmp_path, tmp_path / "logs" / "log"):
        pass
    waiting = [each for each in threading.enumerate() if each not in before]
    for each in waiting:
        each.join(5)  # A timer that was cancelled ends at once.
    assert not any(each.is_alive() for each in waiting)


def export_of(scale: float, folder: Path) -> Path:
    """A SavedModel whose images are all of one value."""
    import keras

    from pipeline.sampling.sampler import latent_sampler
    from savedmodels.export import export
    from savedmodels.exportable import Exportable

    latents = keras.Input((6,), name="latents")
    dense = keras.layers.Dense(
        64, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(scale)
    )
    model = keras.Model(latents, keras.layers.Reshape((8, 8, 1))(dense(latents)))
    return export(
        Exportable(latent_sampler(model)),
        folder,
        64,
        lineage={"images_seen": 64},
        names=["serving_default"],
    )


def served_value(server: Server) -> float:
    asked = {"signature_name": "serving_default", "inputs": [[0.0] * 6]}
    answer = server.ask("POST", f"{PLACE}:predict", asked)
    assert answer.status == 200, answer.body
    [value] = np.unique(answer.json["outputs"])
    return float(value)


def finished(run: Run, name: str, work: Callable[[], steps.Done]) -> RunFailure:
    """How a step fails."""
    with pytest.raises(StepFailed) as caught:
        run.perform(name, work)
    return caught.value.failure


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_a_version_that_answers_otherwise_is_rolled_back_on_a_real_server(
    tmp_path: Path,
) -> None:
    put_pictures(tmp_path / "incoming", 0, 3)
    project = make_project(tmp_path, overrides=TINY)
    with publisher_of(project.repository, "digits") as publisher:
        publisher.publish(export_of(0.25, tmp_path / "earlier"), About())
        publisher.promote("stable", 1, project.watchers)

    plan = Plan(project, take(project))
    plan.run.path.mkdir(parents=True)
    settings = plan.config.model_dump(mode="json")
    (plan.run.path / "config.yaml").write_text(yaml.safe_dump(settings))
    (plan.run.path / "manifest.json").write_text("{}")
    folder = export_of(0.5, plan.run.savedmodels / "8x8")
    requests = golden.read(folder / GOLDEN)
    request = requests["serving_default"]
    requests["serving_default"] = request._replace(
        outputs={name: images + 0.25 for name, images in request.outputs.items()}
    )
    golden.write(folder / GOLDEN, requests)

    with run_server(project.repository.path) as server:
        url = f"http://127.0.0.1:{server.rest_port}"
        watched = project.config.repository.model_copy(update={"servers": (url,)})
        config = project.config.model_copy(update={"repository": watched})
        plan = replace(plan, project=Project(project.path, config))
        run = begin_run(plan.project, "r", snapshot=plan.snapshot.key, trigger="manual")
        done = run.perform(
            "published_version", lambda: steps.published_version(plan, print, run.state.former)
        )
        assert done.facts["version"] == 2
        assert served_value(server) == 0.5
        failure = finished(run, "smoke_test", lambda: steps.smoke_test(plan, print))
        assert served_value(server) == 0.25
    assert (failure.ending, failure.may_pass) == ("rolled back", False)
    assert failure.reason == (
        f"{url}: `images` must be what it was at the export, within 0.01. Received: 0.25 away; "
        "`stable` is back at version 1"
    )
    assert project.repository.label_state("digits").labels == {"stable": 1}
    assert plan.read_note("tested") is None
    outcome = end_run(run)
    assert (outcome.verdict, outcome.reason) == ("rolled back", failure.reason)
    assert (outcome.version, outcome.previous_version) == (2, 1)
    ended = plan.read_end()
    assert ended is not None
    assert ended.final
