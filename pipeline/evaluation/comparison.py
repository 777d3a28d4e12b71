"""Runs beside each other: their newest scores, what differs between them, and their curves."""

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
    Record,
    Score,
    evaluation_of,
    history_of,
    obstacles,
    title_of,
)
from pipeline.loading import decisive
from pipeline.run_folder import RunFolder

CURVE = "fid"
"""The score whose curves are drawn."""


@dataclass(frozen=True)
class Entrant:
    """A run that is compared.

    Args:
        name: Name that no other run in the comparison has.
        config: Configuration of the run.
        newest: Evaluation whose scores are compared.
        history: All its evaluations, ascending in images seen.
    """

    name: str
    config: Config
    newest: Evaluation
    history: Sequence[Evaluation]


class ComparedScore(Score):
    """A score, and whether it compares."""

    obstacles: tuple[str, ...]
    """Why it cannot be compared with that of the first run that has it; empty if it can."""


class ComparedRun(Record):
    """A run by its newest evaluation."""

    run: str
    """Name of the run, as the user gave it."""
    images_seen: int
    """The run's clock at the evaluation."""
    seconds: float
    """For which it had been trained by then."""
    data_hash: str
    """Content of its data."""
    features: FeaturesUsed | None
    """Which features its scores are of."""
    scores: tuple[ComparedScore, ...]
    """Its scores."""
    evaluations: int
    """How many it has."""
    drawn: int
    """How many of these compare with the first run's newest, and are in the curves."""

    def score(self, name: str) -> ComparedScore | None:
        """The score of that name, None if it was not measured."""
        return next((score for score in self.scores if score.name == name), None)


class Comparison(Record):
    """Runs beside each other."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    """Changes when the meaning of a field does."""
    runs: tuple[ComparedRun, ...]
    """In the order in which they were named."""
    config: dict[str, tuple[Any, ...]]
    """What changes the result of a run and is not the same in all, with the value of each."""


def entrants_of(paths: Sequence[Path]) -> list[Entrant]:
    """Runs with their evaluations: the newest, on the features of the first run's where it can be.

    Raises:
        UserError: if a path is named twice, or holds no run or one without an evaluation.
    """
    twice = [path for path in paths if paths.count(path) > 1]
    if twice:
        raise UserError(f"each run must be named once. Received: {twice[0]} twice")
    entrants: list[Entrant] = []
    for path in paths:
        run = RunFolder(path)
        config = run.config()
        used = entrants[0].newest.features if entrants else None
        newest = evaluation_of(run, features=None if used is None else used.identity)
        entrants.append(Entrant(str(path), config, newest, history_of(run)))
    return entrants


def compare(entrants: Sequence[Entrant]) -> Comparison:
    """The newest scores of runs, which of them compare, and the configuration that differs."""
    configs = [decisive(entrant.config) for entrant in entrants]
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
                    _compared(score, entrant, entrants) for score in entrant.newest.scores
                ),
                evaluations=len(entrant.history),
                drawn=len(_drawn(entrant, entrants)),
            )
            for entrant in entrants
        ),
        config={
            key: values for key, values in by_key.items() if any(v != values[0] for v in values)
        },
    )


def charts_of(entrants: Sequence[Entrant]) -> list[Chart]:
    """FID over images seen and over the time of training; none if no run has it."""
    drawn = {each.name: found for each in entrants if (found := _drawn(each, entrants))}
    longest = max((each.seconds for found in drawn.values() for each in found), default=0.0)
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


def _compared(score: Score, entrant: Entrant, entrants: Sequence[Entrant]) -> ComparedScore:
    first = _first_with(score.name, entrants)
    against = obstacles(score.name, entrant.newest, first) if first else []
    return ComparedScore(**score.model_dump(), obstacles=tuple(against))


def _first_with(score: str, entrants: Sequence[Entrant]) -> Evaluation | None:
    newest = (entrant.newest for entrant in entrants)
    return next((evaluation for evaluation in newest if evaluation.score(score)), None)


def _drawn(entrant: Entrant, entrants: Sequence[Entrant]) -> list[Evaluation]:
    first = _first_with(CURVE, entrants)
    return [e for e in entrant.history if first and not obstacles(CURVE, e, first)]
