"""Smoke test of a promoted version: a server must answer as the model did at its export."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.exit_status import AGAIN
from pipeline.orchestration.commands import child, reason_in
from pipeline.orchestration.runs.failure import StepFailed
from savedmodels import golden
from savedmodels.bounds import GPU_BOUND, distance
from savedmodels.layout import GOLDEN
from savedmodels.repository.servers import request_to

SIGNATURE = "serving_default"
ANSWER_SECONDS = 60.0  # Time limit of one request; a version's first answer may be slow.
START_SECONDS = 600.0
"""Time limit for the start of a local server; large models take long to warm up."""


def find_fault(server: str, model: str, label: str, version: int, savedmodel: Path) -> str | None:
    """Send a version's golden request to a server, and return what is wrong with the answer.

    The golden request was saved at the export, with the answer that the model gave.

    Args:
        server: URL of the server's REST interface.
        model: Name of the model.
        label: Label to request.
        version: Version that the label must serve.
        savedmodel: Folder of this version, with its golden request.

    Returns:
        The fault in one line, None if the answer is right.
    """
    place = f"/v1/models/{_quote(model)}/labels/{_quote(label)}"
    request = golden.read(savedmodel / GOLDEN)[SIGNATURE]
    try:
        served = _answer(request_to(server, f"{place}/metadata"))["model_spec"]["version"]
        if str(served) != str(version):
            return f"{server}: `{label}` must be version {version} there. Received: {served}"
        inputs = {name: array.tolist() for name, array in request.inputs.items()}
        body = {"signature_name": SIGNATURE, "inputs": inputs}
        answered = _answer(request_to(server, f"{place}:predict", body))["outputs"]
    except urllib.error.HTTPError as error:
        with error:
            return f"{server} answers {error.code}: {error.read(500).decode(errors='replace')}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{server} must answer. Received: {type(error).__name__}: {error}"
    # REST wraps several outputs in a dict by name, but sends a single output without its name.
    outputs = answered if isinstance(answered, dict) and len(request.outputs) > 1 else None
    for name, expected in request.outputs.items():
        received = np.asarray(answered if outputs is None else outputs.get(name))
        if received.shape != expected.shape or received.dtype.kind not in "biuf":
            return (
                f"{server}: `{name}` must have the shape {expected.shape}. "
                f"Received: {received.shape}"
            )
        # Allow the rounding of a GPU, on which the server may run.
        far = distance(expected, received.astype(expected.dtype))
        if not far <= GPU_BOUND:
            return (
                f"{server}: `{name}` must be what it was at the export, within {GPU_BOUND:g}. "
                f"Received: {far:.3g} away"
            )
    return None


@contextmanager
def own_server(repository: Path, log: Path) -> Iterator[str]:
    """Start a local server of a repository, yield its URL, and stop it when the block ends.

    Raises:
        StepFailed: if the server does not start.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    ports = ("--port", "0", "--rest-api-port", "0")  # 0 picks free ports.
    with (
        log.open("a+", errors="replace") as written,
        child(
            ("serve", str(repository), *ports), repository, stdout=subprocess.PIPE, stderr=written
        ) as process,
    ):
        before = log.stat().st_size  # Skip what earlier servers wrote to this log.
        assert process.stdout is not None
        timer = threading.Timer(START_SECONDS, process.kill)  # `readline` has no time limit.
        timer.start()
        try:
            line = process.stdout.readline()
        finally:  # Cancel after a signal too: Python waits for the timer's thread before it exits.
            timer.cancel()
        found = re.search(r"REST at ([^\s,]+)", line)
        if found is None:
            process.terminate()
            process.wait()
            written.seek(before)
            reason = reason_in(written.read()) or f"nothing, see {log}"
            raise StepFailed(
                f"a server of our own must serve {repository}. Received: {reason}", status=AGAIN
            )
        yield f"http://{found[1]}"


def _answer(request: urllib.request.Request) -> Any:
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as response:
        return json.loads(response.read())


def _quote(name: str) -> str:
    return urllib.parse.quote(name, safe="")
