"""Verify that a SavedModel needs nothing else, and answers in every loader as at its export."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorflow.core.protobuf import saved_model_pb2

from savedmodels import golden, loaders, probe
from savedmodels.bounds import choose_bound, distance
from savedmodels.layout import GOLDEN, LINEAGE, WARM_UP
from savedmodels.links import link_out_of
from savedmodels.machine import Machine, this_machine
from savedmodels.operations import INIT_OP, operations_of, refusals_of
from savedmodels.verification import (
    Bounds,
    Latency,
    Loading,
    Problem,
    Verification,
    VerifiedSignature,
    VerifiedTensor,
)
from savedmodels.whole import Unverifiable, graph_in

_ROOT = Path(__file__).parents[1]
_LONGEST = 500  # characters of a message of TensorFlow, which may be pages long


class NothingRecorded(Unverifiable):
    """The SavedModel has no golden requests."""


def verify(
    folder: Path,
    *,
    runs: int = 30,
    without_golden: bool = False,
    timeout: float = 600.0,
    on_loader: Callable[[int, int], None] = lambda done, total: None,
) -> Verification:
    """Load a SavedModel in clean processes, and compare its answers with those of its export.

    Answers must equal the recorded ones bit for bit, or within a tolerance if another kind of
    machine recorded them. A model with refused operations is not loaded.

    Args:
        folder: Folder of the SavedModel.
        runs: Number of requests to each signature for its latency.
        without_golden: True to accept a model without golden requests, and only load it.
        timeout: Time limit per loader, in seconds.
        on_loader: Called with the number of finished loaders and the number of all.

    Raises:
        NothingRecorded: if the SavedModel has no golden requests and `without_golden` is not set.
        Unverifiable: if there is no SavedModel, or a file of it is damaged.
        OSError: if a file cannot be read.
    """
    graph = _graph_in(folder)
    _require_what_servers_and_publishers_read(folder)
    problems = [Problem(str(refusal)) for refusal in refusals_of(graph)]
    # Loading a model runs operations, so refusals must come first.
    refused = bool(problems)
    recorded, origin = ({}, golden.NOWHERE) if refused else _golden_in(folder)
    if not (recorded or refused or without_golden):
        raise NothingRecorded(f"{folder} has no golden requests ({GOLDEN})")
    names = _names_of(graph)
    problems += _uncovered(names, recorded) if recorded else []
    asked = {
        name: request
        for name, request in recorded.items()
        if name in names and request.inputs.keys() == names[name].inputs.keys()
    }
    held = _Comparison(origin.machine, this_machine())
    loadings: list[Loading] = []
    latencies: dict[str, Latency] = {}
    for done, loader in enumerate(() if refused else loaders.LOADERS):
        on_loader(done, len(loaders.LOADERS))
        # Measure latency with the C API only: it is the loader that servers use.
        repeats = runs if loader == loaders.C_API else 0
        findings, answers = _ask(folder, loader, names, asked, origin.threads, repeats, timeout)
        found = [*_failures(findings), *held.differences(asked, answers)]
        problems += [replace(problem, loader=loader) for problem in found]
        if not findings.error:
            loadings.append(Loading(loader, findings.load_seconds, findings.resident_bytes))
        latencies |= {name: _latency(seconds) for name, seconds in findings.seconds.items()}
        on_loader(done + 1, len(loaders.LOADERS))
    return Verification(
        savedmodel=str(folder),
        tensorflow=graph.meta_info_def.tensorflow_version,
        size_bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        operations=dict(operations_of(graph).most_common()),
        signatures=_signatures_of(graph),
        compared=bool(recorded),
        bounds=held.bounds if recorded else None,
        loadings=tuple(loadings),
        latencies=latencies,
        problems=tuple(problems),
    )


def _graph_in(folder: Path) -> Any:
    """Read the `MetaGraphDef` that servers use, and check that the folder is complete."""
    file = graph_in(folder)
    try:
        content = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    except DecodeError as error:
        raise Unverifiable(f"{file} is damaged: {_line(str(error))}") from error
    graphs = [each for each in content.meta_graphs if set(each.meta_info_def.tags) == {"serve"}]
    if not graphs:
        raise Unverifiable(f"{file} is damaged, or not for servers: it has no graph tagged `serve`")
    if not _served(graphs[0]):
        raise Unverifiable(f"{file} has no signature, so it answers nothing")
    index = folder / "variables" / "variables.index"
    # TensorFlow would load such a model without an error, and its variables would have no values.
    if graphs[0].saver_def.restore_op_name and not index.is_file():
        raise Unverifiable(f"{folder} is damaged: {index} is missing")
    return graphs[0]


def _require_what_servers_and_publishers_read(folder: Path) -> None:
    # TensorFlow loads the model all the same; publishing, or a server's warm-up, would fail later.
    if link := link_out_of(folder):
        raise Unverifiable(
            f"a SavedModel must hold its files itself. Received: {link}, which is a link"
        )
    lineage = folder / LINEAGE
    try:
        if lineage.exists() and not isinstance(json.loads(lineage.read_bytes()), dict):
            raise Unverifiable(f"{lineage} is damaged: it is not a JSON object")
    except ValueError as error:
        raise Unverifiable(f"{lineage} is damaged: {_line(str(error))}") from error
    warm_up = folder / WARM_UP
    if not warm_up.exists():
        return
    try:
        # Reading a record checks its checksum.
        for _ in tf.data.TFRecordDataset(str(warm_up)):
            pass
    except tf.errors.OpError as error:
        raise Unverifiable(f"{warm_up} is damaged: {_line(error.message)}") from error


def _golden_in(folder: Path) -> tuple[dict[str, golden.Request], golden.Origin]:
    try:
        return golden.read(folder / GOLDEN), golden.origin_in(folder / GOLDEN)
    except FileNotFoundError:
        return {}, golden.NOWHERE
    except ValueError as error:
        raise Unverifiable(_line(str(error))) from error


def _served(graph: Any) -> dict[str, Any]:
    # Without the one that TensorFlow runs at loading.
    return {name: each for name, each in graph.signature_def.items() if name != INIT_OP}


def _signatures_of(graph: Any) -> dict[str, VerifiedSignature]:
    return {
        name: VerifiedSignature(
            {key: _tensor(info) for key, info in sorted(each.inputs.items())},
            {key: _tensor(info) for key, info in sorted(each.outputs.items())},
        )
        for name, each in sorted(_served(graph).items())
    }


def _tensor(info: Any) -> VerifiedTensor:
    shape = info.tensor_shape
    axes = tuple(None if axis.size < 0 else int(axis.size) for axis in shape.dim)
    return VerifiedTensor(tf.as_dtype(info.dtype).name, None if shape.unknown_rank else axes)


def _names_of(graph: Any) -> dict[str, loaders.Names]:
    return {
        name: loaders.Names(
            {key: info.name for key, info in each.inputs.items()},
            {key: info.name for key, info in each.outputs.items()},
        )
        for name, each in _served(graph).items()
    }


def _uncovered(
    names: dict[str, loaders.Names], recorded: dict[str, golden.Request]
) -> Iterator[Problem]:
    for name in sorted(names.keys() | recorded.keys()):
        if name not in recorded:
            yield Problem("no golden request was recorded for it", signature=name)
        elif name not in names:
            yield Problem("it has a golden request, but the model lacks it", signature=name)
        elif recorded[name].inputs.keys() != names[name].inputs.keys():
            given, taken = (sorted(each.inputs) for each in (recorded[name], names[name]))
            yield Problem(
                f"its golden request has the inputs {given} in place of {taken}", signature=name
            )


def _ask(
    folder: Path,
    loader: str,
    names: dict[str, loaders.Names],
    asked: dict[str, golden.Request],
    threads: int | None,
    repeats: int,
    timeout: float,
) -> tuple[probe.Findings, dict[str, golden.Request]]:
    """Load a model in a separate process, and return findings and answers."""
    # A crash of TensorFlow must end only its loader, not the verification.
    with tempfile.TemporaryDirectory(prefix="growgan-") as place:
        requests, answers, task, findings = (
            Path(place, name) for name in ("requests.npz", "answers.npz", "task.json", "found.json")
        )
        golden.write(requests, {name: each._replace(outputs={}) for name, each in asked.items()})
        content = probe.ProbeJob(
            str(folder.resolve()), loader, str(requests), repeats, str(answers), names
        )
        task.write_text(json.dumps(asdict(content)))
        # The number of threads decides the order of sums, and with it the last bits.
        given = {} if threads is None else {golden.THREADS_VARIABLE: str(threads)}
        try:
            ended = subprocess.run(
                [sys.executable, "-m", probe.__name__, task, findings],
                cwd=_ROOT,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **given},
                stdout=subprocess.DEVNULL,  # Results come by file: TensorFlow prints lines too.
                stderr=subprocess.PIPE,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return probe.Findings(error=f"did not end within {timeout:g} s"), {}
        if ended.returncode:
            return probe.Findings(error=_end(ended.returncode, ended.stderr)), {}
        found = probe.Findings(**json.loads(findings.read_text()))
        if found.damaged:
            raise Unverifiable(_line(found.damaged))
        return found, golden.read(answers) if answers.exists() else {}


def _end(status: int, stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    how = f"status {status}" if status > 0 else signal.Signals(-status).name
    return f"its process ended with {how}" + (f": {lines[-1]}" if lines else "")


def _failures(findings: probe.Findings) -> Iterator[Problem]:
    if findings.error:
        yield Problem(f"it cannot be loaded: {_line(findings.error)}")
    for name, message in sorted(findings.refusals.items()):
        yield Problem(f"no answer: {_line(message)}", signature=name)
    for name in sorted(findings.unstable):
        yield Problem("it answers the same request differently the second time", signature=name)


class _Comparison:
    """Comparison with recorded answers: by bits on an equal machine, else by tolerance."""

    def __init__(self, machine: Machine | None, here: Machine) -> None:
        if machine is None:
            self._reason = "the machine of its export is not recorded"
        elif machine != here:
            self._reason = f"it was exported on another machine: {here.differences(machine)}"
        else:  # The algorithms of a GPU are chosen anew in each process.
            self._reason = f"a GPU answers: {here.gpus}" if here.gpus else ""
        self._bound = choose_bound(here.gpus, "" if machine is None else machine.gpus)
        self._largest = 0.0

    @property
    def bounds(self) -> Bounds | None:
        """Tolerance of the comparison, None if it was by bits."""
        return Bounds(self._bound, self._largest, self._reason) if self._reason else None

    def differences(
        self, asked: dict[str, golden.Request], answers: dict[str, golden.Request]
    ) -> Iterator[Problem]:
        for name, answer in sorted(answers.items()):
            expected = asked[name].outputs
            for output in sorted(expected.keys() | answer.outputs.keys()):
                if output not in answer.outputs:
                    text = "it was recorded, but is missing from the answer"
                elif output not in expected:
                    text = "it is in the answer, but was not recorded"
                else:
                    text = self._difference(expected[output], answer.outputs[output])
                if text:
                    yield Problem(text, signature=name, output=output)

    def _difference(self, recorded: NDArray[Any], answered: NDArray[Any]) -> str:
        text = golden.difference(recorded, answered)
        if not (text and self._reason):
            return text
        far = distance(recorded, answered)
        if far <= self._bound:
            self._largest = max(self._largest, far)
            return ""
        return f"{text}, where {self._bound:g} is allowed, because {self._reason}"


def _latency(seconds: list[float]) -> Latency:
    median, p99 = np.percentile(seconds, [50, 99])
    return Latency(float(median), float(p99), len(seconds))


def _line(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"
