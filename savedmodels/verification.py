"""Result of `growgan verify`: answers of a SavedModel compared with those at its export."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class VerifiedTensor:
    """Type and shape of an input or output."""

    dtype: str  # TensorFlow's name of the type.
    shape: tuple[int | None, ...] | None
    """Size of each axis, None for any size; None instead of the tuple for any number of axes."""

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
    """Reason why a SavedModel fails, in one line, and where; empty fields mean no special part."""

    text: str
    loader: str = ""
    signature: str = ""
    output: str = ""

    def __str__(self) -> str:
        subject = "/".join(filter(None, (self.signature, self.output)))
        return f"{subject}: {self.text}" if subject else self.text


@dataclass(frozen=True)
class Latency:
    """Latency of a signature for its golden request, measured after a first request."""

    median_seconds: float
    p99_seconds: float
    runs: int


@dataclass(frozen=True)
class Loading:
    """Time and memory that one loader needed."""

    loader: str
    seconds: float  # Time to load the model, without the start of TensorFlow.
    resident_bytes: int  # Resident memory of the process after all requests.


@dataclass(frozen=True)
class Bounds:
    """Tolerance for answers, on a scale where images span -1 to 1."""

    bound: float
    largest: float  # Largest distance found that is within `bound`.
    reason: str  # Reason for not comparing answers bit for bit.


@dataclass(frozen=True)
class Verification:
    """Result of verifying one SavedModel."""

    savedmodel: str
    tensorflow: str  # Version of TensorFlow that wrote it.
    size_bytes: int
    operations: dict[str, int]  # Count of each operation in the graph and its functions, by name.
    signatures: dict[str, VerifiedSignature]
    compared: bool  # True if there were golden requests to compare with.
    bounds: Bounds | None
    """Tolerance of the comparison; None if equal bits were required or nothing was compared."""
    loadings: tuple[Loading, ...]
    """Loaders that loaded the model; empty if operations were refused."""
    latencies: dict[str, Latency]  # Latency of each signature in the loader of servers.
    problems: tuple[Problem, ...]

    @property
    def passed(self) -> bool:
        """True if no problem was found."""
        return not self.problems

    @property
    def failures(self) -> tuple[str, ...]:
        """Texts of the problems, each once, with the loaders that found it."""
        found: dict[str, list[str]] = {}
        for problem in self.problems:
            found.setdefault(str(problem), []).append(problem.loader)
        return tuple(
            f"{text} ({', '.join(loaders)})" if any(loaders) else text
            for text, loaders in found.items()
        )

    @property
    def reason(self) -> str:
        """First failure and the number of others; only for a model that failed."""
        first, *others = self.failures
        return f"{first}, and {len(others)} more" if others else first

    @property
    def verdict(self) -> str:
        """Result in one line: passed, and by which comparison, or failed."""
        return f"passed: {self.comparison}" if self.passed else "failed"

    @property
    def comparison(self) -> str:
        """Sentence that describes the comparison, for a model that passed."""
        if not self.compared:
            return "it can be loaded; no recorded answers were there to compare with"
        if self.bounds is None:
            return "every answer equals that of the export, bit for bit"
        bounds = self.bounds
        return (
            f"every answer is within {bounds.bound:g} of that of the export on a scale of -1 to 1, "
            f"{bounds.largest:.2g} at most; not compared by bits, because {bounds.reason}"
        )

    def as_json(self) -> str:
        """Format the result as JSON, for `growgan verify --json`."""
        return json.dumps({"schema": 1, "passed": self.passed, **asdict(self)}, indent=2)
