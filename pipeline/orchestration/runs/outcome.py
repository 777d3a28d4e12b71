"""Outcome of one run: the file that holds it, and the history of a project."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, Field, ValidationError
from pydantic.functional_validators import AfterValidator

from pipeline.errors import UserError
from pipeline.evaluation.gate import Verdict
from pipeline.evaluation.scores import Evaluation, JsonRecord, fault_of, title_of
from savedmodels.atomic import make_folder, write_file

HISTORY = "history"
OUTCOME = "outcome.json"
PAGE = "index.html"

Trigger: TypeAlias = Literal["schedule", "new data", "manual", "back-fill"]
"""Cause of the start of a run."""
StepState: TypeAlias = Literal["done", "unchanged", "failed", "skipped"]
"""`unchanged`: the result was there already; `skipped`: an earlier step failed."""
Ending: TypeAlias = Literal[
    "promoted", "unchanged", "gate failed", "alarm", "rolled back", "failed", "interrupted"
]
"""End of a run. `alarm`: training stopped itself; `rolled back`: the promoted version did not pass
its test, and the one before serves again."""


def one_line(text: str) -> str:
    """Return a text with a space for each line break and control character."""
    # A terminal would take control characters in a name or an error as commands.
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _inside(path: str) -> str:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError("must be a path inside the project")
    return path


Line = Annotated[str, AfterValidator(one_line)]
"""Text for a person, on one line."""
ProjectPath = Annotated[str, AfterValidator(_inside)]
"""Path relative to the project's folder, with `/`."""
RunKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
UtcTime = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
"""Time in UTC."""
Count = Annotated[int, Field(ge=0)]


class SnapshotSummary(JsonRecord):
    """Pictures of the sources when the run began."""

    content_hash: Line
    """Hash of the names and content of the pictures."""
    images: Count
    new: Count
    """Number of new pictures since the last run, or, if it failed and some of its pictures are
    gone, since the last one that succeeded."""


class StepResult(JsonRecord):
    """One step of a run."""

    name: Line
    """Name, such as `checked_data` or `trained_model`."""
    state: StepState
    seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    reason: Line = ""


class Outcome(JsonRecord):
    """Outcome of one run of the pipeline, which `outcome.json` holds."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    """Version of the format: it changes when the meaning of a field does."""
    run: RunKey
    """Name of the run, and of its folder in the history."""
    model: Line
    trigger: Trigger
    started: UtcTime
    ended: UtcTime
    verdict: Ending
    reason: Line
    """Reason of its end, in one line."""
    steps: tuple[StepResult, ...] = ()
    """Steps in the order of the pipeline."""
    source: Line | None = None
    """Sources of the pictures."""
    snapshot: SnapshotSummary | None = None
    """Snapshot of the source, or None if it could not be read."""
    data_hash: Line | None = None
    """Hash of the records."""
    config_hash: Line | None = None
    """Hash of the configuration."""
    code: Line | None = None
    """Commit or version of growgan."""
    run_folder: ProjectPath | None = None
    """Run folder of the training."""
    version: int | None = Field(default=None, ge=1)
    """Version of this run in the repository."""
    content_hash: Line | None = None
    """Hash of that version."""
    previous_version: int | None = Field(default=None, ge=1)
    """Version that `stable` served when the run began."""
    serving: int | None = Field(default=None, ge=1)
    """Version that `stable` serves when the run has ended."""
    evaluation: Evaluation | None = None
    """Scores of the new model."""
    promoted: Evaluation | None = None
    """Scores of the previous version, to compare with."""
    gate: Verdict | None = None
    """Decision of the gate, with a reason for each rule."""
    report: ProjectPath | None = None
    """Page with the report of the evaluation."""
    pictures: tuple[ProjectPath, ...] = ()
    """PNG sheets."""
    curves: ProjectPath | None = None
    """Log of the training, as lines of JSON."""

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        # The clock may have been set back during the run.
        return max(0.0, (self.ended - self.started).total_seconds())


def consequence_of(outcome: Outcome) -> str:
    """Return what serves after a run and why, as a sentence without its full stop."""
    new = "The new model" if outcome.version is None else f"Version {outcome.version}"
    before = outcome.previous_version and f"version {outcome.previous_version}"
    stays = outcome.serving == outcome.previous_version
    serves = f"version {outcome.serving} {'goes on serving' if stays else 'serves'}"
    goes_on = serves if outcome.serving else "nothing serves yet"
    match outcome.verdict:
        case "promoted":
            return f"{new} serves, {f'in place of {before}' if before else 'as the first'}"
        case "unchanged":
            return f"There was nothing to do; {goes_on}"
        case "gate failed":
            return f"{new} was refused by the gate; {goes_on}"
        case "alarm":
            return f"Training has stopped itself; {goes_on}"
        case "rolled back":
            again = f"{before} serves again" if before and stays else goes_on
            return f"{new} did not pass its test; {again}"
        case "failed":
            return f"A step has failed; {goes_on}"
        case "interrupted":
            return f"The run was interrupted, and goes on when it is started again; {goes_on}"


def format_score(evaluation: Evaluation) -> str | None:
    """Return the first score with its title, as text for people, or None if there is none."""
    first = next(iter(evaluation.scores), None)
    return None if first is None else f"{title_of(first.name)} {first}"


def format_duration(seconds: float) -> str:
    """Return a duration as text for people, such as `1 h 02 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:02.0f} min"


def history_folder(project: Path, run: str) -> Path:
    """Return the folder of a run in the history."""
    return project / HISTORY / run


def now() -> datetime:
    """Return the present time in UTC, to the second, as folders of runs name it."""
    return datetime.now(UTC).replace(microsecond=0)


def write_outcome(project: Path, outcome: Outcome) -> Path:
    """Write `history/<run>/outcome.json`, whole or not at all, and return its path."""
    file = history_folder(project, outcome.run) / OUTCOME
    make_folder(file.parent)
    write_file(file, outcome.model_dump_json(indent=2) + "\n")
    return file


def read_outcome(file: Path) -> Outcome:
    """Read the outcome in a file.

    Raises:
        UserError: if there is none, or it is damaged or of another schema.
    """
    try:
        return Outcome.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(
            f"an outcome must be an `{OUTCOME}` of schema 1 that a run of the pipeline wrote. "
            f"Received: {file}, {fault_of(error)}"
        ) from error


def history_of(project: Path) -> list[Outcome]:
    """Read the outcomes of a project's runs, the oldest first; a run without one is left out.

    Raises:
        UserError: if one is damaged.
    """
    found = [read_outcome(file) for file in (project / HISTORY).glob(f"*/{OUTCOME}")]
    return sorted(found, key=lambda outcome: (outcome.started, outcome.run))
