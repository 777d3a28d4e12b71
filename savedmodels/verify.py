"""Verify that a SavedModel works without this project, and answers as at its export.

`growgan verify` and `growgan publish` use it.
"""

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
_MAX_CHARACTERS = 500  # of a message of TensorFlow, which may be pages long


class NothingRecorded(Unverifiable):
    """Error for a SavedModel without golden requests."""


def verify(
    folder: Path,
    *,
    runs: int = 30,
    without_golden: bool = False,
    timeout: float = 600.0,
    on_loader: Callable[[int, int], None] = lambda done, total: None,
) -> Verification:
    """Load a SavedModel with each loader, and compare its answers with those of its export.

    Answers must equal the recorded ones bit for bit, or within a tolerance if another kind of
    machine recorded them. Each loader runs in its own process, in which this project cannot be
    imported. A model with refused operations is not loaded.

    Args:
        folder: Folder of the SavedModel.
        runs: Number of requests to each signature to measure its latency.
        without_golden: True to accept a model without golden requests, and only load it.
        timeout: Time limit per loader, in seconds.
        on_loader: Called with the number of finished loaders and the number of all.

    Raises:
        NothingRecorded: if the SavedModel has no golden requests and `without_golden` is not set.
        Unverifiable: if there is no SavedModel, or a file of it is damaged.
        OSError: if a file cannot be read.
    """
    graph = _graph_in(folder)
    _check_extra_files(folder)
    problems = [Problem(str(refusal)) for refusal in refusals_of(graph)]
    # Do not load a model with refused operations, because loading runs operations.
    refused = bool(problems)
    recorded, origin = ({}, golden.UNKNOWN_ORIGIN) if refused else _golden_in(folder)
    if not (recorded or refused or without_golden):
        raise NothingRecorded(f"{folder} has no golden requests ({GOLDEN})")
    names = _names_of(graph)
    problems += _uncovered(names, recorded) if recorded else []
    requests = {
        name: request
        for name, request in recorded.items()
        if name in names and request.inputs.keys() == names[name].inputs.keys()
    }
    comparison = _Comparison(origin.machine, this_machine())
    loadings: list[Loading] = []
    latencies: dict[str, Latency] = {}
    for done, loader in enumerate(() if refused else loaders.LOADERS):
        on_loader(done, len(loaders.LOADERS))
        # Measure latency with the C API only: it is the loader that servers use.
        repeats = runs if loader == loaders.C_API else 0
        findings, answers = _probe(
            folder, loader, names, requests, origin.threads, repeats, timeout
        )
        new = [*_failures(findings), *comparison.differences(requests, answers)]
        problems += [replace(problem, loader=loader) for problem in new]
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
        bounds=comparison.bounds if recorded else None,
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
        raise Unverifiable(f"{file} is damaged: {_shorten(str(error))}") from error
    graphs = [each for each in content.meta_graphs if set(each.meta_info_def.tags) == {"serve"}]
    if not graphs:
        raise Unverifiable(f"{file} is damaged, or not for servers: it has no graph tagged `serve`")
    if not _served(graphs[0]):
        raise Unverifiable(f"{file} has no signature, so it answers nothing")
    index = folder / "variables" / "variables.index"
    # Refuse missing variables: TensorFlow would load the model without an error or any values.
    if graphs[0].saver_def.restore_op_name and not index.is_file():
        raise Unverifiable(f"{folder} is damaged: {index} is missing")
    return graphs[0]


def _check_extra_files(folder: Path) -> None:
    # Check files that TensorFlow's loaders ignore, but that publishing or a warm-up needs later.
    if link := link_out_of(folder):
        raise Unverifiable(
            f"a SavedModel must hold its files itself. Received: {link}, which is a link"
        )
    lineage = folder / LINEAGE
    try:
        if lineage.exists() and not isinstance(json.loads(lineage.read_bytes()), dict):
            raise Unverifiable(f"{lineage} is damaged: it is not a JSON object")
    except ValueError as error:
        raise Unverifiable(f"{lineage} is damaged: {_shorten(str(error))}") from error
    warm_up = folder / WARM_UP
    if not warm_up.exists():
        return
    try:
        # Read all records, which checks their checksums.
        for _ in tf.data.TFRecordDataset(str(warm_up)):
            pass
    except tf.errors.OpError as error:
        raise Unverifiable(f"{warm_up} is damaged: {_shorten(error.message)}") from error


def _golden_in(folder: Path) -> tuple[dict[str, golden.Request], golden.Origin]:
    try:
        return golden.read(folder / GOLDEN), golden.read_origin(folder / GOLDEN)
    except FileNotFoundError:
        return {}, golden.UNKNOWN_ORIGIN
    except ValueError as error:
        raise Unverifiable(_shorten(str(error))) from error


def _served(graph: Any) -> dict[str, Any]:
    # Leave out the signature that TensorFlow runs when it loads the model.
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


def _probe(
    folder: Path,
    loader: str,
    names: dict[str, loaders.Names],
    requests: dict[str, golden.Request],
    threads: int | None,
    repeats: int,
    timeout: float,
) -> tuple[probe.Findings, dict[str, golden.Request]]:
    """Load a model in a separate process, and return findings and answers."""
    # Use another process, so that a crash of TensorFlow does not end the verification.
    with tempfile.TemporaryDirectory(prefix="growgan-") as temporary:
        sent, answers, task, findings = (
            Path(temporary, name)
            for name in ("requests.npz", "answers.npz", "task.json", "found.json")
        )
        golden.write(sent, {name: each._replace(outputs={}) for name, each in requests.items()})
        content = probe.ProbeJob(
            str(folder.resolve()), loader, str(sent), repeats, str(answers), names
        )
        task.write_text(json.dumps(asdict(content)))
        # Use the export's number of threads: it decides the order of sums, and so the last bits.
        variables = {} if threads is None else {golden.THREADS_VARIABLE: str(threads)}
        try:
            ended = subprocess.run(
                [sys.executable, "-m", probe.__name__, task, findings],
                cwd=_ROOT,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **variables},
                stdout=subprocess.DEVNULL,  # TensorFlow prints here; results come by file.
                stderr=subprocess.PIPE,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return probe.Findings(error=f"did not end within {timeout:g} s"), {}
        if ended.returncode:
            return probe.Findings(error=_describe_exit(ended.returncode, ended.stderr)), {}
        found = probe.Findings(**json.loads(findings.read_text()))
        if found.damaged:
            raise Unverifiable(_shorten(found.damaged))
        return found, golden.read(answers) if answers.exists() else {}


def _describe_exit(status: int, stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    how = f"status {status}" if status > 0 else signal.Signals(-status).name
    return f"its process ended with {how}" + (f": {lines[-1]}" if lines else "")


def _failures(findings: probe.Findings) -> Iterator[Problem]:
    if findings.error:
        yield Problem(f"it cannot be loaded: {_shorten(findings.error)}")
    for name, message in sorted(findings.refusals.items()):
        yield Problem(f"no answer: {_shorten(message)}", signature=name)
    for name in sorted(findings.unstable):
        yield Problem("it answers the same request differently the second time", signature=name)


class _Comparison:
    """Comparison with recorded answers: by bits on an equal machine (no GPU), else by tolerance."""

    def __init__(self, machine: Machine | None, here: Machine) -> None:
        if machine is None:
            self._reason = "the machine of its export is not recorded"
        elif machine != here:
            self._reason = f"it was exported on another machine: {here.differences(machine)}"
        else:  # On a GPU, TensorFlow chooses algorithms in each process.
            self._reason = f"a GPU answers: {here.gpus}" if here.gpus else ""
        self._bound = choose_bound(here.gpus, "" if machine is None else machine.gpus)
        self._largest = 0.0

    @property
    def bounds(self) -> Bounds | None:
        """Tolerance and largest distance so far; None if answers are compared by bits."""
        return Bounds(self._bound, self._largest, self._reason) if self._reason else None

    def differences(
        self, requests: dict[str, golden.Request], answers: dict[str, golden.Request]
    ) -> Iterator[Problem]:
        for name, answer in sorted(answers.items()):
            expected = requests[name].outputs
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
        found = distance(recorded, answered)
        if found <= self._bound:
            self._largest = max(self._largest, found)
            return ""
        return f"{text}, where {self._bound:g} is allowed, because {self._reason}"


def _latency(seconds: list[float]) -> Latency:
    median, p99 = np.percentile(seconds, [50, 99])
    return Latency(float(median), float(p99), len(seconds))


def _shorten(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _MAX_CHARACTERS else f"{line[:_MAX_CHARACTERS]} …"
