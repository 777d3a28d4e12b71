"""Outcome of one run: the file that holds it, and the history of a project."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, Field, ValidationError
from pydantic.functional_validators import AfterValidator

from pipeline.errors import UserError
from pipeline.evaluation.gate import Verdict
from pipeline.evaluation.scores import Evaluation, Record, fault_of, title_of
from savedmodels.atomic import make_folder, write_file

HISTORY = "history"
OUTCOME = "outcome.json"
PAGE = "index.html"

Trigger: TypeAlias = Literal["schedule", "new data", "manual", "back-fill"]
"""What a run was started by."""
StepState: TypeAlias = Literal["done", "unchanged", "failed", "skipped"]
"""`unchanged`: what it makes was there already; `skipped`: its turn never came."""
Ending: TypeAlias = Literal[
    "promoted", "unchanged", "gate failed", "alarm", "rolled back", "failed", "interrupted"
]
"""How a run ended. `alarm`: training stopped itself; `rolled back`: the version that was promoted
did not pass its test, and the one before serves again."""


def one_line(text: str) -> str:
    """The text with a space for whatever would break the line, or that a terminal would obey."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _inside(path: str) -> str:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError("must be a path inside the project")
    return path


Line = Annotated[str, AfterValidator(one_line)]
"""Text for a person; what would break the line is a space."""
ProjectPath = Annotated[str, AfterValidator(_inside)]
"""A path relative to the project's folder, with `/`."""
RunKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Moment = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
"""A time of day, in UTC."""
Count = Annotated[int, Field(ge=0)]


class Snapshot(Record):
    """The pictures of the source as they were when the run began."""

    content_hash: Line
    """Hash of the names and content of the pictures."""
    images: Count
    """How many there are."""
    new: Count
    """How many of them the run before did not have."""


class Step(Record):
    """One step of a run."""

    name: Line
    """Such as `checked_data` or `trained_model`."""
    state: StepState
    """What became of it."""
    seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Return the duration in seconds."""
    reason: Line = ""
    """Why, in one line."""


class Outcome(Record):
    """Outcome of one run of the pipeline."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    """Changes when the meaning of a field does."""
    run: RunKey
    """Identifies the run, and names its folder in the history."""
    model: Line
    """Name of the model, as in the repository."""
    trigger: Trigger
    """What it was started by."""
    started: Moment
    """When it began."""
    ended: Moment
    """When it ended."""
    verdict: Ending
    """How it ended."""
    reason: Line
    """Why, in one line."""
    steps: tuple[Step, ...] = ()
    """In the order of the pipeline."""
    source: Line | None = None
    """Where the pictures come from."""
    snapshot: Snapshot | None = None
    """Snapshot of the source, or None if it could not be read."""
    data_hash: Line | None = None
    """Content of the records."""
    config_hash: Line | None = None
    """Fingerprint of the configuration."""
    code: Line | None = None
    """Commit or version of growgan."""
    run_folder: ProjectPath | None = None
    """Run folder of the training."""
    version: int | None = Field(default=None, ge=1)
    """The version of this run in the repository."""
    content_hash: Line | None = None
    """Content of that version."""
    previous_version: int | None = Field(default=None, ge=1)
    """What the label stood at when the run began."""
    serving: int | None = Field(default=None, ge=1)
    """What it stands at when the run has ended."""
    evaluation: Evaluation | None = None
    """Scores of the new model."""
    promoted: Evaluation | None = None
    """Scores of the previous version, to compare with."""
    gate: Verdict | None = None
    """What the gate decided, with a reason for each rule."""
    report: ProjectPath | None = None
    """Report of the evaluation."""
    pictures: tuple[ProjectPath, ...] = ()
    """PNG sheets."""
    curves: ProjectPath | None = None
    """What training has logged, as lines of JSON."""

    @property
    def seconds(self) -> float:
        """Return the duration in seconds."""
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
    """Return a time as text for people, such as `1 h 02 min`.

    Args:
        seconds: The time, in seconds.
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:02.0f} min"


def history_folder(project: Path, run: str) -> Path:
    """Return the folder of a run's record: `history/<run>`."""
    return project / HISTORY / run


def now() -> datetime:
    """The time of day in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def write_outcome(project: Path, outcome: Outcome) -> Path:
    """Write `history/<run>/outcome.json`, whole or not at all; its path.

    Raises:
        OSError: if it cannot be written.
    """
    file = history_folder(project, outcome.run) / OUTCOME
    make_folder(file.parent)
    write_file(file, outcome.model_dump_json(indent=2) + "\n")
    return file


def read_outcome(path: Path) -> Outcome:
    """The outcome in a file, or in the folder of a run of the pipeline.

    Raises:
        UserError: if there is none, or it is damaged or of another schema.
    """
    file = path / OUTCOME if path.is_dir() else path
    try:
        return Outcome.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(
            f"an outcome must be an `{OUTCOME}` of schema 1 that a run of the pipeline wrote. "
            f"Received: {file}, {fault_of(error)}"
        ) from error


def history_of(project: Path) -> list[Outcome]:
    """The outcomes of a project's runs, the oldest first; a run without one is left out.

    Raises:
        UserError: if one is damaged.
    """
    found = [read_outcome(file) for file in (project / HISTORY).glob(f"*/{OUTCOME}")]
    return sorted(found, key=lambda outcome: (outcome.started, outcome.run))
