"""`python -m savedmodels.probe`: a process of its own that loads, asks and measures a SavedModel.

Nothing of this project, nor Keras, can be imported in it once a model is loaded.
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


@dataclass(frozen=True)
class Task:
    """Task of a process that loads a model.

    Args:
        savedmodel: The folder.
        loader: A key of `loaders.LOADERS`.
        requests: An npz file with what is asked, in the form of golden requests.
        runs: Number of further requests to each signature, to measure it.
        answers: The npz file to write, in the same form.
        names: Names by signature.
    """

    savedmodel: str
    loader: str
    requests: str
    runs: int
    answers: str
    names: dict[str, loaders.Names]


@dataclass
class Findings:
    """Findings of a process.

    Args:
        damaged: Which file of the model is not whole, and how.
        error: Why it could not be loaded.
        refusals: Why a signature did not answer.
        unstable: Signatures that answered otherwise when they were asked again.
        load_seconds: Without the start of TensorFlow.
        resident_bytes: Memory of the process, after all answers.
        seconds: Time of each run, by signature.
    """

    damaged: str = ""
    error: str = ""
    refusals: dict[str, str] = field(default_factory=dict)
    unstable: set[str] = field(default_factory=set)
    load_seconds: float = 0.0
    resident_bytes: int = 0
    seconds: dict[str, list[float]] = field(default_factory=dict)


def carry_out(task: Task) -> Findings:
    """Load a model, ask it, and write its answers.

    Raises:
        OSError: if the answers cannot be written.
    """
    folder = Path(task.savedmodel)
    requests = golden.read(Path(task.requests))
    findings = Findings()
    try:
        load = loaders.LOADERS[task.loader](folder)
        start = time.perf_counter()
        answer = load(task.names)
        findings.load_seconds = time.perf_counter() - start
    except loaders.Damaged as error:
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
        except Exception as error:
            findings.refusals[name] = str(error)
            continue
        answers[name] = golden.Request(request.inputs, outputs)
    findings.resident_bytes = psutil.Process().memory_info().rss
    golden.write(Path(task.answers), answers)
    return findings


def _block() -> None:
    """Let nothing that is this project's, nor Keras, be imported from here on."""
    for name in list(sys.modules):
        if name.partition(".")[0] in BLOCKED:
            del sys.modules[name]
    halted: Any = None  # By which Python refuses an import.
    sys.modules.update(dict.fromkeys(BLOCKED, halted))


def main() -> None:
    """Carry out the task in the JSON file that the first argument names; findings to the second."""
    source, target = map(Path, sys.argv[1:])
    content = json.loads(source.read_text())
    names = {name: loaders.Names(**each) for name, each in content.pop("names").items()}
    _block()
    findings = carry_out(Task(**content, names=names))
    target.write_text(json.dumps(asdict(findings), default=sorted))


if __name__ == "__main__":
    main()
