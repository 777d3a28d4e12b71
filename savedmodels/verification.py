"""Result of a verification, as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Tensor:
    """Type and shape of an input or output.

    Args:
        dtype: TensorFlow's name of the type.
        shape: Sizes of the axes, None for any size; None as a whole for any number of axes.
    """

    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        axes = ["…"] if self.shape is None else ["?" if n is None else str(n) for n in self.shape]
        return f"{self.dtype} ({', '.join(axes)})"


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of one signature, by name."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


@dataclass(frozen=True)
class Problem:
    """Reason why a SavedModel fails.

    Args:
        text: Reason in one line.
        loader: Loader that found it; empty if found without one.
        signature: Signature concerned; empty if it concerns the whole model.
        output: Output concerned; empty if it concerns the whole signature.
    """

    text: str
    loader: str = ""
    signature: str = ""
    output: str = ""

    def __str__(self) -> str:
        subject = "/".join(filter(None, (self.signature, self.output)))
        return f"{subject}: {self.text}" if subject else self.text


@dataclass(frozen=True)
class Latency:
    """Latency of a signature for its golden request.

    Args:
        median_seconds: Median of all runs, in seconds.
        p99_seconds: 99th percentile of all runs, in seconds; of few runs nearly the longest.
        runs: Number of runs, without a first one.
    """

    median_seconds: float
    p99_seconds: float
    runs: int


@dataclass(frozen=True)
class Loading:
    """Time and memory of one loader.

    Args:
        loader: Name of the loader.
        seconds: Seconds to load, without the start of TensorFlow.
        resident_bytes: Resident memory of its process after all requests, in bytes.
    """

    loader: str
    seconds: float
    resident_bytes: int


@dataclass(frozen=True)
class Bounds:
    """Tolerance in place of equal bits, if another kind of machine recorded the answers.

    Args:
        bound: Largest distance allowed, see `savedmodels.bounds.distance`.
        largest: Largest distance found.
        reason: Reason for not comparing bits.
    """

    bound: float
    largest: float
    reason: str


@dataclass(frozen=True)
class Verification:
    """Result of verifying one SavedModel.

    Args:
        savedmodel: Folder of the SavedModel.
        tensorflow: Version of TensorFlow that wrote it.
        size_bytes: Bytes of all files in the folder.
        operations: Number of each operation in the graph and its functions.
        signatures: Signatures by name.
        compared: Whether there were golden requests to compare with.
        bounds: Tolerance that was allowed; None if equal bits were required.
        loadings: Time and memory of the loaders that succeeded; empty if operations were refused.
        latencies: Latencies by signature, measured through the C API.
        problems: Reasons why it fails; empty if it passes.
    """

    savedmodel: str
    tensorflow: str
    size_bytes: int
    operations: dict[str, int]
    signatures: dict[str, Signature]
    compared: bool
    bounds: Bounds | None
    loadings: tuple[Loading, ...]
    latencies: dict[str, Latency]
    problems: tuple[Problem, ...]

    @property
    def passed(self) -> bool:
        """Return whether no problem was found."""
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
