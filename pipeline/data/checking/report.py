"""Report of a check as JSON, and its file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Generic, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.data.checking.moments import Moments
from pipeline.data.conversion import Skipped
from pipeline.errors import UserError
from savedmodels.atomic import write_file

FORMAT_VERSION = 1
REPORT = "report.json"
NAMED = 5
DIGITS = 9
"""Decimals of a number in a report; far more than levels and shares are measured to."""

Advised = TypeVar("Advised", int, bool, str)
Channels = tuple[float, float, float]


class Facts(BaseModel):
    """Part of a report."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Spread(Facts):
    """Distribution of a quantity over the pictures."""

    least: float
    median: float
    most: float


class Sizes(Facts):
    """Sizes of the pictures in pixels, the right way up."""

    width: Spread
    height: Spread
    shortest_side: Spread
    longest_side: Spread
    aspect_ratio: Spread
    """Width divided by height."""
    shortest_sides: dict[int, int]
    """Pictures by shortest side: those under `64` have 64 to 127 pixels."""


class Named(Facts):
    """Pictures to look at first, by name; at most `NAMED` of a kind."""

    smallest: tuple[tuple[str, float], ...] = ()
    """Smallest pictures and their shorter side, smallest first."""
    largest: tuple[tuple[str, float], ...] = ()
    """Largest pictures and their longer side, largest first."""
    narrowest: tuple[tuple[str, float], ...] = ()
    """Narrowest pictures and their width divided by height, narrowest first."""
    widest: tuple[tuple[str, float], ...] = ()
    """Widest pictures and their width divided by height, widest first."""
    of_modes: dict[str, tuple[str, ...]] = {}
    """Pictures of each mode of stored pixels."""
    unlabelled: tuple[str, ...] = ()


class Colours(Facts):
    """Colours of the pictures as 8-bit RGB; each picture has the same weight."""

    mean: Channels
    """Mean level of red, green and blue, from 0 to 255."""
    std: Channels
    """Standard deviation of the levels of all pixels."""
    grey_share: float
    """Share of pictures in which no pixel's channels differ by more than 8 levels."""
    dark_border_share: float
    """Share of pictures whose outermost 1/32 is black."""


class Symmetry(Facts):
    """Evidence on whether pictures can be mirrored."""

    nearer_share: float
    """Share of pictures that resemble the others more than their mirror images do; 0.5 if
    mirroring changes nothing."""
    compared: int
    """Number of randomly chosen pictures behind that share."""


class FeatureMoments(Facts):
    """Moments of thumbnail features, by which two sets are compared."""

    mean: tuple[float, ...]
    """Mean of each of the 64 features of `data.checking.measurement.thumbnail_features`."""
    covariance: tuple[float, ...]
    """Rows of the lower triangle of their covariance with its diagonal, one after the other."""
    halves_distance: float
    """Fréchet distance between two random halves of the pictures: the effect of chance."""

    @classmethod
    def of(cls, moments: Moments, halves_distance: float) -> FeatureMoments:
        """Round moments for a report."""
        # A covariance is symmetric, so its lower triangle says all.
        rows, columns = np.tril_indices(len(moments.mean))
        return cls(
            mean=rounded(moments.mean),
            covariance=rounded(moments.covariance[rows, columns]),
            halves_distance=round(halves_distance, DIGITS),
        )

    def moments(self, count: int) -> Moments:
        """Restore the moments, which belong to `count` pictures."""
        size = len(self.mean)
        covariance = np.zeros((size, size))
        covariance[np.tril_indices(size)] = self.covariance
        covariance += np.tril(covariance, -1).T
        return Moments(count, np.array(self.mean), covariance * count)


class Advice(Facts, Generic[Advised]):
    """Suggested value of a setting, and the reason."""

    value: Advised
    reason: str


class Suggestions(Facts):
    """Settings that fit the pictures."""

    resolution: Advice[int]
    """`schedule.resolution`: the largest power of two that nearly all pictures reach."""
    crop: Advice[str]
    """`data.crop`: way to make pictures square."""
    channels: Advice[int]
    """`data.channels`: 1 for grey, 3 for RGB."""
    mirror: Advice[bool]
    """`data.mirror`: True if images may be shown mirrored."""
    labels: Advice[bool]
    """`data.labels`: True if networks can be conditioned on the classes."""
    enough: Advice[bool]
    """True if there are enough pictures to train on."""


class Shift(Facts):
    """Shift of a set from a previous one; all numbers are 0 for the same set."""

    previous: str
    """Short name of the set compared with."""
    colour: Channels
    """Difference of the mean red, green and blue, in standard deviations of the previous set."""
    class_shares: float
    """Total variation of the shares of classes: half the sum of their absolute differences, 1 if
    no class is in both. Pictures without a class count as one class."""
    new_classes: tuple[str, ...]
    """Classes that the previous set did not have."""
    vanished_classes: tuple[str, ...]
    """Classes that only the previous set has."""
    features: float
    """Fréchet distance of thumbnail features in units of the previous set's spread, the root of
    its total variance: 1 when the means are a spread apart."""
    features_by_chance: float
    """Distance expected between two random choices of these sizes from the previous set."""
    new_pictures: float
    """Share of the pictures whose content the previous set did not have."""
    vanished_pictures: float
    """Share of the previous set's pictures whose content this one does not have."""

    @property
    def largest_colour(self) -> float:
        """Largest absolute difference among the three channels."""
        return max(map(abs, self.colour))


class Survey(Facts):
    """All measurements of a source."""

    format_version: Literal[1]
    """Changes when the meaning of a field does."""
    source: str
    """Short name of the source."""
    pictures: int
    """Pictures in the source, unreadable ones included."""
    readable: int
    """Pictures that could be read; all further fields describe these."""
    corrupt: tuple[Skipped, ...]
    """Pictures that could not be read, with the reason."""
    left_out: dict[str, int] = {}
    """Number of files that were not read, by extension."""
    sizes: Sizes
    formats: dict[str, int]
    """Number of pictures by file format; `pixels` for those stored without one."""
    modes: dict[str, int]
    """Number of pictures by mode of the stored pixels, in Pillow's names."""
    classes: dict[str, int]
    """Number of pictures by class; empty if the source has no classes."""
    unlabelled: int
    colours: Colours
    blank: tuple[str, ...]
    """Pictures of a single colour."""
    exact_duplicates: tuple[tuple[str, ...], ...]
    """Groups of pictures that are stored as the same bytes."""
    label_conflicts: int
    """Number of those groups that lie in several classes."""
    near_duplicates: tuple[tuple[str, ...], ...]
    """Groups of pictures that look alike: linked by steps of at most `near_bits` of the 64 bits of
    their perceptual hashes. Exact copies count once; blank pictures are left out."""
    near_bits: int
    """Largest difference between perceptual hashes of near duplicates, in bits."""
    symmetry: Symmetry
    suggestions: Suggestions
    features: FeatureMoments
    content_sample: tuple[int, ...]
    """Smallest content hashes of the pictures, ascending, each the first 48 bits of a SHA-256. A
    small set has all; a large one a random choice that does not depend on the other pictures."""
    # With a default, because a contract may refer to a report that was written before it.
    named: Named = Named()
    shift: Shift | None = None
    """Shift from another report, if they were compared."""
    broken_rules: tuple[str, ...] = ()
    """Rules of a contract that the pictures broke, each with the value received."""


def rounded(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[float, ...]:
    """Round numbers for a report."""
    return tuple(round(float(value), DIGITS) for value in values)


def report_text(report: BaseModel) -> str:
    """Write a report as indented JSON, with each list of numbers on one line."""
    text = report.model_dump_json(indent=2)
    # One number per line would make the report thousands of lines long.
    lists = r"\[\n[-+.\deE,\s]+\]"
    return re.sub(lists, lambda match: f"[{' '.join(match[0][1:-1].split())}]", text) + "\n"


def write_check_report(folder: Path, survey: Survey) -> Path:
    """Write `report.json` into a folder; it appears complete or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / REPORT, report_text(survey))
    return folder / REPORT


def read_report(path: Path) -> Survey:
    """Read a report from its file or from the folder of a check.

    Raises:
        UserError: if there is no report, or it has another format.
    """
    file = path / REPORT if path.is_dir() else path
    try:
        return Survey.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(
            f"a report must be a `{REPORT}` of format {FORMAT_VERSION} that `growgan data check` "
            f"wrote. Received: {path}"
        ) from error
