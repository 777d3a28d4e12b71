"""Result of a verification, as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class VerifiedTensor:
    """Type, by TensorFlow's name, and shape of an input or output."""

    dtype: str
    shape: tuple[int | None, ...] | None
    """Sizes of the axes, None for any size; None as a whole for any number of axes."""

    def __str__(self) -> str:
        axes = ["…"] if self.shape is None else ["?" if n is None else str(n) for n in self.shape]
        return f"{self.dtype} ({', '.join(axes)})"


@dataclass(frozen=True)
class VerifiedSignature:
    """Inputs and outputs of one signature, by name."""

    inputs: dict[str, VerifiedTensor]
    outputs: dict[str, VerifiedTensor]


@dataclass(frozen=True)
class Problem:
    """Reason why a SavedModel fails, in one line; fields are empty where it concerns no part."""

    text: str
    loader: str = ""
    signature: str = ""
    output: str = ""

    def __str__(self) -> str:
        subject = "/".join(filter(None, (self.signature, self.output)))
        return f"{subject}: {self.text}" if subject else self.text


@dataclass(frozen=True)
class Latency:
    """Latency of a signature for its golden request, over runs without a first one."""

    median_seconds: float
    p99_seconds: float
    runs: int


@dataclass(frozen=True)
class Loading:
    """Seconds to load without TensorFlow's start, and memory of the process after all requests."""

    loader: str
    seconds: float
    resident_bytes: int


@dataclass(frozen=True)
class Bounds:
    """Distance allowed, the largest found, and the reason for not comparing bits."""

    bound: float
    largest: float
    reason: str


@dataclass(frozen=True)
class Verification:
    """Result of verifying one SavedModel."""

    savedmodel: str
    tensorflow: str
    """Version of TensorFlow that wrote it."""
    size_bytes: int
    operations: dict[str, int]
    """Number of each operation in the graph and its functions."""
    signatures: dict[str, VerifiedSignature]
    compared: bool
    """True if there were golden requests to compare with."""
    bounds: Bounds | None
    """Tolerance that was allowed; None if equal bits were required."""
    loadings: tuple[Loading, ...]
    """Loaders that succeeded; none if operations were refused."""
    latencies: dict[str, Latency]
    problems: tuple[Problem, ...]

    @property
    def passed(self) -> bool:
        """True if no problem was found."""
        return not self.problems

    @property
    def failures(self) -> tuple[str, ...]:
        """Reasons why it fails, each once, with the loaders that found it."""
        found: dict[str, list[str]] = {}
        for problem in self.problems:
            found.setdefault(str(problem), []).append(problem.loader)
        return tuple(
            f"{text} ({', '.join(loaders)})" if any(loaders) else text
            for text, loaders in found.items()
        )

    @property
    def reason(self) -> str:
        """First failure, and the number of others."""
        first, *others = self.failures
        return f"{first}, and {len(others)} more" if others else first

    @property
    def verdict(self) -> str:
        """Result in one line: passed by which comparison, or failed."""
        return f"passed: {self.held_to}" if self.passed else "failed"

    @property
    def held_to(self) -> str:
        """Comparison that a passed model was held to."""
        if not self.compared:
            return "it can be loaded; no recorded answers were there to compare with"
        if self.bounds is None:
            return "every answer equals that of the export, bit for bit"
        held = self.bounds
        return (
            f"every answer is within {held.bound:g} of that of the export on a scale of -1 to 1, "
            f"{held.largest:.2g} at most; not compared by bits, because {held.reason}"
        )

    def as_json(self) -> str:
        """Write the result as JSON."""
        return json.dumps({"schema": 1, "passed": self.passed, **asdict(self)}, indent=2)
