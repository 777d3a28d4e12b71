"""Compare runs for `growgan compare`: newest scores, differing settings, and curves of FID."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.evaluation.charts import Chart
from pipeline.evaluation.curves import score_curve
from pipeline.evaluation.scores import (
    Evaluation,
    FeaturesUsed,
    JsonRecord,
    Score,
    evaluation_of,
    obstacles,
    score_history,
    title_of,
)
from pipeline.loading import decisive_settings
from pipeline.training_run.folder import RunFolder

CURVE = "fid"  # Score whose curves are drawn.


@dataclass(frozen=True)
class Entrant:
    """Run to compare with others."""

    name: str  # Path of the run as given by the user
    config: Config  # Configuration of the run
    newest: Evaluation  # Evaluation whose scores are compared
    history: Sequence[Evaluation]
    """All evaluations of the run, ascending in images seen, for the curves."""


class ComparedScore(Score):
    """Score, and reasons against comparing it with the same score of the first run that has it."""

    obstacles: tuple[str, ...]


class ComparedRun(JsonRecord):
    """Result for one run in a comparison, from its newest evaluation."""

    run: str
    images_seen: int
    seconds: float
    """Seconds of training until the evaluation."""
    data_hash: str
    features: FeaturesUsed | None
    scores: tuple[ComparedScore, ...]
    evaluations: int
    """Number of evaluations of the run."""
    drawn: int
    """Number of evaluations in the FID curve: those comparable with the first run that has FID."""

    def score(self, name: str) -> ComparedScore | None:
        """Return the score of a name; None if it was not measured."""
        return next((score for score in self.scores if score.name == name), None)


class Comparison(JsonRecord):
    """Comparison of runs, in the order of the command line."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    runs: tuple[ComparedRun, ...]
    config: dict[str, tuple[Any, ...]]
    """Settings that change results and differ between runs, with the value of each run."""


def read_entrants(paths: Sequence[Path]) -> list[Entrant]:
    """Read runs and their evaluations; prefer evaluations that use the first run's features.

    Raises:
        UserError: if a path is given twice, holds no run, or its run has no evaluation.
    """
    twice = [path for path in paths if paths.count(path) > 1]
    if twice:
        raise UserError(f"each run must be named once. Received: {twice[0]} twice")
    entrants: list[Entrant] = []
    for path in paths:
        run = RunFolder(path)
        # Read the configuration first: its error says that the folder is not a run.
        config = run.config()
        # Use the first run's features for all runs: scores on different features do not compare.
        used = entrants[0].newest.features if entrants else None
        newest = evaluation_of(run, features=None if used is None else used.identity)
        entrants.append(Entrant(str(path), config, newest, score_history(run)))
    return entrants


def compare(entrants: Sequence[Entrant]) -> Comparison:
    """Compare the newest scores of runs, with reasons where they do not compare, and settings."""
    configs = [decisive_settings(entrant.config) for entrant in entrants]
    by_key = {key: tuple(config[key] for config in configs) for key in configs[0]}
    return Comparison(
        runs=tuple(
            ComparedRun(
                run=entrant.name,
                images_seen=entrant.newest.images_seen,
                seconds=entrant.newest.seconds,
                data_hash=entrant.newest.lineage.data_hash,
                features=entrant.newest.features,
                scores=tuple(
                    _compare_score(score, entrant, entrants) for score in entrant.newest.scores
                ),
                evaluations=len(entrant.history),
                drawn=len(_comparable_history(entrant, entrants)),
            )
            for entrant in entrants
        ),
        config={
            key: values for key, values in by_key.items() if any(v != values[0] for v in values)
        },
    )


def fid_charts(entrants: Sequence[Entrant]) -> list[Chart]:
    """Make charts of FID over images seen and over training time; none if no run has FID."""
    drawn = {
        each.name: found for each in entrants if (found := _comparable_history(each, entrants))
    }
    longest = max((each.seconds for found in drawn.values() for each in found), default=0.0)
    # Choose one unit for all runs, because they share the axis.
    unit, seconds = ("hours", 3600) if longest > 7200 else ("minutes", 60)
    clocks: dict[str, Callable[[Evaluation], float]] = {
        "images seen": lambda evaluation: evaluation.images_seen,
        f"{unit} of training": lambda evaluation: evaluation.seconds / seconds,
    }
    return [
        Chart(
            title_of(CURVE),
            x,
            {
                name: score_curve(CURVE, evaluations, [clock(each) for each in evaluations])
                for name, evaluations in drawn.items()
            },
        )
        for x, clock in clocks.items()
        if drawn
    ]


def _compare_score(score: Score, entrant: Entrant, entrants: Sequence[Entrant]) -> ComparedScore:
    first = _first_with(score.name, entrants)
    against = obstacles(score.name, entrant.newest, first) if first else []
    return ComparedScore(**score.model_dump(), obstacles=tuple(against))


def _first_with(score: str, entrants: Sequence[Entrant]) -> Evaluation | None:
    newest = (entrant.newest for entrant in entrants)
    return next((evaluation for evaluation in newest if evaluation.score(score)), None)


def _comparable_history(entrant: Entrant, entrants: Sequence[Entrant]) -> list[Evaluation]:
    first = _first_with(CURVE, entrants)
    # Leave out scores that do not compare, such as those of another protocol.
    return [e for e in entrant.history if first and not obstacles(CURVE, e, first)]
