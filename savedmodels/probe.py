"""Process in which `growgan verify` loads a SavedModel with one loader, and measures it.

`savedmodels.verify` starts it as `python -m savedmodels.probe TASK.json FINDINGS.json`.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from savedmodels import golden, loaders

BLOCKED = ("keras", "layers", "pipeline", "savedmodels")
"""Packages that cannot be imported while a model loads: a SavedModel must not need them."""


@dataclass(frozen=True)
class ProbeJob:
    """Task of one process: load a model and send it requests."""

    savedmodel: str
    loader: str  # Name in `loaders.LOADERS`.
    requests: str  # Path of an npz file in the format of golden requests.
    runs: int  # Number of times to repeat each request, to measure latency.
    answers: str  # Path of the npz file to write, in the same format.
    names: dict[str, loaders.Names]  # Tensor names of each signature.


@dataclass
class Findings:
    """Result of loading one model and sending it requests."""

    damaged: str = ""  # Damaged file of the model and its fault; empty if there is none.
    error: str = ""  # Reason why the model could not be loaded; empty if it was.
    refusals: dict[str, str] = field(default_factory=dict)
    """Error of each signature that did not answer."""
    unstable: set[str] = field(default_factory=set)
    """Signatures that gave a different answer to the same request."""
    load_seconds: float = 0.0
    resident_bytes: int = 0
    seconds: dict[str, list[float]] = field(default_factory=dict)
    """Duration of each repeated request, by signature."""


def carry_out(task: ProbeJob) -> Findings:
    """Load a model, send it requests and write the answers."""
    folder = Path(task.savedmodel)
    requests = golden.read(Path(task.requests))
    findings = Findings()
    try:
        load = loaders.LOADERS[task.loader](folder)
        start = time.perf_counter()
        answer = load(task.names)
        findings.load_seconds = time.perf_counter() - start
    except loaders.DamagedModel as error:
        findings.damaged = str(error)
        return findings
    except Exception as error:
        findings.error = str(error)
        return findings
    answers = {}
    for name, request in requests.items():
        try:
            outputs = answer(name, request.inputs)
            for _ in range(task.runs):
                start = time.perf_counter()
                again = answer(name, request.inputs)
                findings.seconds.setdefault(name, []).append(time.perf_counter() - start)
                if any(golden.difference(outputs[key], again[key]) for key in outputs):
                    findings.unstable.add(name)
        except Exception as error:  # Try the other signatures all the same.
            findings.refusals[name] = str(error)
            continue
        answers[name] = golden.Request(request.inputs, outputs)
    findings.resident_bytes = psutil.Process().memory_info().rss
    golden.write(Path(task.answers), answers)
    return findings


def _block_imports() -> None:
    # Remove loaded modules too, because an import would find them.
    for name in list(sys.modules):
        if name.partition(".")[0] in BLOCKED:
            del sys.modules[name]
    blocked: Any = None  # Python refuses to import a module that is None in `sys.modules`.
    sys.modules.update(dict.fromkeys(BLOCKED, blocked))


def main() -> None:
    """Read a task from the JSON file in argument 1, and write the findings to argument 2."""
    source, target = map(Path, sys.argv[1:])
    content = json.loads(source.read_text())
    names = {name: loaders.Names(**each) for name, each in content.pop("names").items()}
    _block_imports()  # only now, because the lines above import from this project
    findings = carry_out(ProbeJob(**content, names=names))
    # Write sets as sorted lists, because JSON has no sets.
    target.write_text(json.dumps(asdict(findings), default=sorted))


if __name__ == "__main__":
    main()
