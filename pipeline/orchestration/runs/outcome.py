"""Outcome of a pipeline run, its file `history/<run>/outcome.json`, and its words for people."""

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
"""End of a run. `unchanged`: the same result was promoted before; `alarm`: training stopped
itself; `rolled back`: the new version failed its test, and the version before serves again."""


def one_line(text: str) -> str:
    """Return a text on one line: runs of white space and control characters become one space."""
    # Drop control characters: in a file name or error, a terminal would obey them.
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _inside(path: str) -> str:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError("must be a path inside the project")
    return path


Line = Annotated[str, AfterValidator(one_line)]  # Text for a person, on one line.
ProjectPath = Annotated[str, AfterValidator(_inside)]
"""Path relative to the project's folder, with `/`."""
RunKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
"""Name of a run, and of its folder in `history/`."""
UtcTime = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
"""Time that is converted to UTC."""
Count = Annotated[int, Field(ge=0)]


class SnapshotSummary(JsonRecord):
    """Facts about the snapshot of the pictures that a run used."""

    content_hash: Line
    """Hash of the names and content of the pictures."""
    images: Count
    new: Count
    """Number of new pictures since the last run, or, if it failed and some of its pictures are
    gone, since the last one that succeeded."""


class StepResult(JsonRecord):
    """Result of one step of a run."""

    name: Line
    """Name, such as `checked_data` or `trained_model`."""
    state: StepState
    seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    reason: Line = ""


class Outcome(JsonRecord):
    """Outcome of one run of the pipeline, the content of `outcome.json`."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    """Version of the file format; it changes when the meaning of a field does."""
    run: RunKey
    model: Line
    """Name of the model in the repository."""
    trigger: Trigger
    started: UtcTime
    ended: UtcTime
    verdict: Ending
    reason: Line
    """Reason of the verdict."""
    steps: tuple[StepResult, ...] = ()
    """Results of all steps, in the order of the pipeline."""
    source: Line | None = None
    """Sources of the pictures, separated by commas."""
    snapshot: SnapshotSummary | None = None
    """Snapshot of the sources, or None if they could not be read."""
    data_hash: Line | None = None
    """Hash of the records."""
    config_hash: Line | None = None
    """Hash of the training's configuration."""
    code: Line | None = None
    """Commit of growgan, or its version without a commit."""
    run_folder: ProjectPath | None = None
    """Folder of the training."""
    version: int | None = Field(default=None, ge=1)
    """Number of the version that this run published in the repository."""
    content_hash: Line | None = None
    """Hash of the published version's files."""
    previous_version: int | None = Field(default=None, ge=1)
    """Version that the label `stable` pointed to when the run began."""
    serving: int | None = Field(default=None, ge=1)
    """Version that the label `stable` points to at the end of the run."""
    evaluation: Evaluation | None = None
    """Scores of the new model."""
    promoted: Evaluation | None = None
    """Scores of the previous version, for comparison."""
    gate: Verdict | None = None
    """Verdict of the gate, with a reason for each rule."""
    report: ProjectPath | None = None
    """HTML report of the evaluation."""
    pictures: tuple[ProjectPath, ...] = ()
    """PNG files of generated images, and the contact sheet of the training pictures."""
    curves: ProjectPath | None = None
    """Metrics log of the training, with one JSON object a line."""

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        # Clip at 0: the computer's clock may have been set back during the run.
        return max(0.0, (self.ended - self.started).total_seconds())


def consequence_of(outcome: Outcome) -> str:
    """Return which version serves after a run and why, as a sentence without its full stop."""
    new = "The new model" if outcome.version is None else f"Version {outcome.version}"
    before = outcome.previous_version and f"version {outcome.previous_version}"
    same = outcome.serving == outcome.previous_version
    serves = f"version {outcome.serving} {'goes on serving' if same else 'serves'}"
    serving = serves if outcome.serving else "nothing serves yet"
    match outcome.verdict:
        case "promoted":
            return f"{new} serves, {f'in place of {before}' if before else 'as the first'}"
        case "unchanged":
            return f"There was nothing to do; {serving}"
        case "gate failed":
            return f"{new} was refused by the gate; {serving}"
        case "alarm":
            return f"Training has stopped itself; {serving}"
        case "rolled back":
            again = f"{before} serves again" if before and same else serving
            return f"{new} did not pass its test; {again}"
        case "failed":
            return f"A step has failed; {serving}"
        case "interrupted":
            return f"The run was interrupted, and goes on when it is started again; {serving}"


def format_score(evaluation: Evaluation) -> str | None:
    """Format the first score with its title for people, None if there is none."""
    first = next(iter(evaluation.scores), None)
    return None if first is None else f"{title_of(first.name)} {first}"


def format_duration(seconds: float) -> str:
    """Format a duration for people, such as `1 h 02 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:02.0f} min"


def history_folder(project: Path, run: str) -> Path:
    """Return the folder of a run in the history."""
    return project / HISTORY / run


def now() -> datetime:
    """Return the present time in UTC without fractions of a second, as run folders are named."""
    return datetime.now(UTC).replace(microsecond=0)


def write_outcome(project: Path, outcome: Outcome) -> Path:
    """Write `history/<run>/outcome.json` atomically, and return its path."""
    file = history_folder(project, outcome.run) / OUTCOME
    make_folder(file.parent)
    write_file(file, outcome.model_dump_json(indent=2) + "\n")
    return file


def read_outcome(file: Path) -> Outcome:
    """Read an outcome from its file.

    Raises:
        UserError: if the file is missing, damaged or of another schema.
    """
    try:
        return Outcome.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(
            f"an outcome must be an `{OUTCOME}` of schema 1 that a run of the pipeline wrote. "
            f"Received: {file}, {fault_of(error)}"
        ) from error


def history_of(project: Path) -> list[Outcome]:
    """Read the outcomes of a project's runs, oldest first; runs that have not ended have none.

    Raises:
        UserError: if one is damaged.
    """
    found = [read_outcome(file) for file in (project / HISTORY).glob(f"*/{OUTCOME}")]
    return sorted(found, key=lambda outcome: (outcome.started, outcome.run))
