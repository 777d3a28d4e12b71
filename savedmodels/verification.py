"""Result of a verification, for people and machines."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Tensor:
    """An input or output.

    Args:
        dtype: Type as TensorFlow names it.
        shape: None for an axis of any size; None in all for any number of axes.
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
    """Why a SavedModel fails.

    Args:
        text: One line.
        loader: Loader by which it was found, or nothing.
        signature: Signature that it is about, or nothing.
        output: Output of the signature, or nothing.
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
        median_seconds: Median seconds of all runs.
        p99_seconds: Time that one of a hundred runs exceeds; of few runs nearly the
            longest.
        runs: Number of runs, after a first one.
    """

    median_seconds: float
    p99_seconds: float
    runs: int


@dataclass(frozen=True)
class Loading:
    """Time and memory of one loader.

    Args:
        loader: Its name.
        seconds: Seconds to load, without the start of TensorFlow.
        resident_bytes: Memory of its process, after all answers.
    """

    loader: str
    seconds: float
    resident_bytes: int


@dataclass(frozen=True)
class Bounds:
    """Tolerance that answers were held to, if another kind of machine recorded them.

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
        savedmodel: Its folder.
        tensorflow: The version that wrote it.
        size_bytes: Bytes of all files in the folder.
        operations: Number of each operation in the graph and its functions.
        signatures: Signatures by name.
        compared: Whether there were golden requests to compare with.
        bounds: Bounds that answers were held to; None if they were held to the recorded bits.
        loadings: Loadings by loaders that loaded it; there are none if operations were refused.
        latencies: Latencies by signature, through the C API.
        problems: Why it fails.
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
        """Return whether nothing speaks against it."""
        return not self.problems

    @property
    def failures(self) -> tuple[str, ...]:
        """Why it fails, each reason once, with the loaders that found it."""
        found: dict[str, list[str]] = {}
        for problem in self.problems:
            found.setdefault(str(problem), []).append(problem.loader)
        return tuple(
            f"{text} ({', '.join(loaders)})" if any(loaders) else text
            for text, loaders in found.items()
        )

    @property
    def reason(self) -> str:
        """The first of these, and how many more there are."""
        first, *others = self.failures
        return f"{first}, and {len(others)} more" if others else first

    @property
    def verdict(self) -> str:
        """Return whether it passed, and by what."""
        return f"passed: {self.held_to}" if self.passed else "failed"

    @property
    def held_to(self) -> str:
        """Return what was compared, for one that passed."""
        if not self.compared:
            return "it can be loaded; there was nothing to compare its answers with"
        if self.bounds is None:
            return "every answer is that of the export, bit for bit"
        held = self.bounds
        return (
            f"every answer is that of the export within {held.bound:g} of values from -1 to 1, and "
            f"{held.largest:.2g} at most; not by bits, as {held.reason}"
        )

    def as_json(self) -> str:
        """All of it, and whether it passed."""
        return json.dumps({"schema": 1, "passed": self.passed, **asdict(self)}, indent=2)
