"""Scores of a checkpoint: the file `scores.json`, and the rules for comparing two evaluations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import UserError
from pipeline.training_run.folder import RunFolder
from savedmodels.atomic import write_file

SCORES = "scores.json"
FINGERPRINT = 12  # Number of digits of a hash to show.
_LEVEL = re.compile(r"swd_(\d+)")

Protocol = dict[str, bool | int | float | str | None]
"""Parameters of the measurement of a score, besides model, data and features."""

_KINDS: dict[str, tuple[str, Literal["less", "more", ""]]] = {
    "fid": ("FID", "less"),
    "fid_infinity": ("FID∞", "less"),
    "kid": ("KID", "less"),
    "inception_score": ("Inception score", "more"),
    "precision": ("Precision", "more"),
    "recall": ("Recall", "more"),
    "density": ("Density", "more"),
    "coverage": ("Coverage", "more"),
    "swd": ("SWD", "less"),
    "ms_ssim": ("MS-SSIM", ""),
    "path_length_z": ("Path length in z", "less"),
    "path_length_z_end": ("Path length in z, at the ends", "less"),
    "path_length_w": ("Path length in w", "less"),
    "path_length_w_end": ("Path length in w, at the ends", "less"),
    "feature_distance": ("Feature distance", "more"),
    "memorisation": ("Memorisation", "less"),
    "classification_accuracy": ("Classification accuracy", "more"),
}
"""Title of each score, and whether less or more of it is better; empty if neither is."""


class JsonRecord(BaseModel):
    """Part of a JSON file, in which non-finite numbers are strings."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_inf_nan="strings",  # JSON has no NaN or infinity; null could be either.
        serialize_by_alias=True,
        validate_by_name=True,
        validate_by_alias=True,
    )


class FeaturesUsed(JsonRecord):
    """Identity of a feature network."""

    name: str
    identity: str
    """SHA-256 of name, weights and protocol."""
    protocol: dict[str, str] = {}
    """Preparation of the images and layer of the features."""

    def matches(self, which: str | None) -> bool:
        """Return whether `which` is the name, the identity, or the shown digits of the identity."""
        return which in (self.name, self.identity, self.identity[:FINGERPRINT])

    def __str__(self) -> str:
        return f"{self.name} {self.identity[:FINGERPRINT]}"


class Score(JsonRecord):
    """Score with its 95 % interval, if it has one, and its protocol."""

    name: str = Field(pattern="^[a-z][a-z0-9_]*$")
    value: float
    low: float | None = None
    high: float | None = None
    protocol: Protocol = {}
    """Parameters of the measurement; `images` is the number of generated images."""
    advice: str | None = None
    """Warning against trusting the score; None if there is none."""

    @model_validator(mode="before")
    @classmethod
    def _advice_is_no_protocol(cls, values: Any) -> Any:
        # Move advice out of the protocol, where older versions wrote it: it decides no comparison.
        if not isinstance(values, dict) or "advice" not in values.get("protocol", {}):
            return values
        protocol = dict(values["protocol"])
        return {**values, "advice": protocol.pop("advice"), "protocol": protocol}

    @model_validator(mode="after")
    def _both_ends(self) -> Score:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval must have both ends")
        return self

    def __str__(self) -> str:
        """Format value and interval, such as `3.21 (2.98 to 3.47)`."""
        if self.low is None:
            return f"{self.value:.4g}"
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


class ClassScores(JsonRecord, extra="allow"):
    """Scores of one class; further keys are the names of scores."""

    name: str = Field(alias="class")
    images: int
    """Number of generated images of the class."""
    advice: str | None = None
    """Warning against trusting the scores; None if there is none."""
    __pydantic_extra__: dict[str, float] = Field(init=False)

    @property
    def values(self) -> dict[str, float]:
        """Scores by name."""
        return dict(self.__pydantic_extra__)


class Lineage(JsonRecord, extra="allow"):
    """Data, configuration, checkpoint and code behind scores; further keys are allowed."""

    data_hash: str
    """Hash of the content of the prepared set that the scores compare with."""
    config_hash: str
    checkpoint_hash: str
    """SHA-256 of the checkpoint's manifest, and so of all its files."""
    growgan: str
    """Version of GrowGAN."""
    code: str | None = None
    """Commit of the code, if known."""


class Evaluation(JsonRecord):
    """All scores of a checkpoint on one feature network."""

    # Increase this when the meaning of a field changes.
    schema_version: Literal[1] = Field(default=1, alias="schema")
    run: str
    checkpoint: str
    images_seen: int = Field(ge=0)
    created: AwareDatetime
    seconds: float
    """Seconds of training until the checkpoint, over all restarts."""
    lineage: Lineage
    features: FeaturesUsed | None
    """Feature network; None if no score needed features."""
    scores: tuple[Score, ...]
    classes: tuple[ClassScores, ...] = ()
    """Scores of each class; empty for a run without labels."""
    not_measured: dict[str, str] = {}
    """Measures that could not be computed: reason by name."""

    @property
    def advice(self) -> dict[str, list[str]]:
        """Warnings against trusting scores, each with the titles of the scores concerned."""
        found: dict[str, list[str]] = {}
        of_scores = [(title_of(score.name), score.advice) for score in self.scores]
        of_classes = [(f"FID of {each.name}", each.advice) for each in self.classes]
        for title, advice in (*of_scores, *of_classes):
            if advice is not None:
                found.setdefault(advice, []).append(title)
        return found

    @model_validator(mode="after")
    def _each_once(self) -> Evaluation:
        names = [score.name for score in self.scores]
        if len(set(names)) < len(names):
            raise ValueError("each score must be there once")
        return self

    def score(self, name: str) -> Score | None:
        """Return the score of a name; None if it was not measured."""
        return next((score for score in self.scores if score.name == name), None)


def title_of(score: str) -> str:
    """Return the title of a score, such as `SWD at 64 px` for `swd_64`."""
    level = _LEVEL.fullmatch(score)
    if level:
        return f"SWD at {level[1]} px"
    # An unknown score, such as one of a newer version, keeps its name.
    return _KINDS[score][0] if score in _KINDS else score


def better_of(score: str) -> Literal["less", "more", ""]:
    """Return whether `less` or `more` of a score is better; empty if neither is."""
    name = "swd" if _LEVEL.fullmatch(score) else score
    return _KINDS[name][1] if name in _KINDS else ""


def needs_features(score: str) -> bool:
    """Return whether a score is computed from features; otherwise from pixels only."""
    return not score.startswith("swd") and score != "ms_ssim"


def obstacles(score: str, one: Evaluation, other: Evaluation) -> list[str]:
    """List the reasons against comparing a score of two evaluations; empty if it compares."""
    first, second = one.score(score), other.score(score)
    if first is None or second is None:
        missing = one if first is None else other
        return [f"{missing.run} has no {score}"]
    reasons = []
    if one.lineage.data_hash != other.lineage.data_hash:
        hashes = [each.lineage.data_hash[:FINGERPRINT] for each in (one, other)]
        reasons.append(f"other data, {hashes[0]} instead of {hashes[1]}")
    if needs_features(score) and one.features != other.features:
        reasons.append(f"other features, {one.features} instead of {other.features}")
        # If both look the same in that text, add how the protocols differ.
        if one.features and other.features and str(one.features) == str(other.features):
            reasons[-1] += f": {_changed(one.features.protocol, other.features.protocol)}"
    if first.protocol != second.protocol:
        reasons.append(f"another protocol: {_changed(first.protocol, second.protocol)}")
    return reasons


def folder_of(run: RunFolder, evaluation: Evaluation) -> Path:
    """Return the folder of an evaluation, `evaluations/images-…/<feature network>`."""
    used = evaluation.features
    name = "pixels"
    if used is not None:
        name = re.sub(r"\W+", "-", used.name) + f"-{used.identity[:FINGERPRINT]}"
    return run.evaluation(evaluation.images_seen) / name


def write_scores(run: RunFolder, evaluation: Evaluation) -> Path:
    """Write `scores.json` into the folder of an evaluation, and return its path."""
    return write_evaluation(folder_of(run, evaluation) / SCORES, evaluation)


def write_evaluation(file: Path, evaluation: Evaluation) -> Path:
    """Write scores to a file, which appears complete or not at all, and return its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, evaluation.model_dump_json(indent=2) + "\n")
    return file


def read_scores(path: Path) -> Evaluation:
    """Read the scores in a file, or in the folder of an evaluation.

    Raises:
        UserError: if the file is missing, unreadable or of another schema.
    """
    file = path / SCORES if path.is_dir() else path
    try:
        return Evaluation.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(
            f"scores must be a `{SCORES}` of schema 1 that `growgan evaluate` wrote. "
            f"Received: {file}, {fault_of(error)}"
        ) from error


def fault_of(error: OSError | ValidationError) -> str:
    """Describe in one line why a JSON file cannot be used, to follow `Received: <file>,`."""
    if isinstance(error, OSError):
        return f"which cannot be read: {error.strerror}"
    faults = {".".join(map(str, fault["loc"])): fault for fault in error.errors()}
    # Report only the schema if it differs: all other faults follow from it.
    if "schema" in faults and faults["schema"]["type"] == "literal_error":
        return f"of schema {str(faults['schema']['input'])[:FINGERPRINT]}"
    where, fault = next(iter(faults.items()))
    text = f"where `{where}` is wrong: {fault['msg']}" if where else f"with {fault['msg']}"
    # Keep to one line: keys of a foreign file may hold line breaks.
    return " ".join(text.split())


def score_history(run: RunFolder) -> list[Evaluation]:
    """Read every evaluation of a run, ascending in images seen and then in time.

    Raises:
        UserError: if one cannot be read.
    """
    folders = (run.evaluation(images_seen) for images_seen in run.evaluated())
    found = [read_scores(file) for folder in folders for file in folder.glob(f"*/{SCORES}")]
    return sorted(found, key=lambda evaluation: (evaluation.images_seen, evaluation.created))


def evaluation_of(
    run: RunFolder, images_seen: int | None = None, *, features: str | None = None
) -> Evaluation:
    """Return the evaluation of a run at a number of images seen, or of the newest checkpoint.

    If a checkpoint was evaluated on several feature networks, the one with the name or identity
    `features` is preferred; otherwise the latest evaluation is returned.

    Raises:
        UserError: if there is no such evaluation, or an evaluation of the run cannot be read.
    """
    history = score_history(run)
    known = sorted({evaluation.images_seen for evaluation in history})
    wanted = known[-1] if images_seen is None and known else images_seen
    if wanted in known:
        of_checkpoint = [each for each in history if each.images_seen == wanted]
        preferred = [e for e in of_checkpoint if e.features and e.features.matches(features)]
        return (preferred or of_checkpoint)[-1]
    after = "" if images_seen is None else f" after {images_seen} images"
    others = f", only after {', '.join(map(str, known))}" if known else ""
    raise UserError(
        "a run must be evaluated first, by `growgan evaluate`. Received: "
        f"{run.path}, without an evaluation{after}{others}"
    )


def _changed(one: dict[str, Any], other: dict[str, Any]) -> str:
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return ", ".join(f"{key} {one.get(key)} instead of {other.get(key)}" for key in keys)
