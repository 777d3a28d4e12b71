"""Report of `growgan data check`: its fields, and its JSON file `report.json`."""

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

FORMAT_VERSION = 1  # Version of the report that this code writes and reads.
REPORT = "report.json"
MAX_NAMED = 5  # Maximum number of pictures that a report names as examples of one kind.
DIGITS = 9  # Decimals of a number in a report; far more than the accuracy of levels and shares.

Advised = TypeVar("Advised", int, bool, str)
Channels = tuple[float, float, float]  # Value for each of red, green and blue.


class Facts(BaseModel):
    """Base class of the report and its parts: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Spread(Facts):
    """Minimum, median and maximum of a quantity over the pictures."""

    least: float
    median: float
    most: float


class Sizes(Facts):
    """Sizes of the pictures in pixels, after EXIF rotation."""

    width: Spread
    height: Spread
    shortest_side: Spread
    longest_side: Spread
    aspect_ratio: Spread
    """Width divided by height."""
    shortest_sides: dict[int, int]
    """Number of pictures by shortest side, in powers of two: key 64 counts 64 to 127 pixels."""


class Named(Facts):
    """Names of the pictures to look at first; at most `MAX_NAMED` per field or mode."""

    smallest: tuple[tuple[str, float], ...] = ()
    """Smallest pictures and their shorter side, smallest first."""
    largest: tuple[tuple[str, float], ...] = ()
    """Largest pictures and their longer side, largest first."""
    narrowest: tuple[tuple[str, float], ...] = ()
    """Narrowest pictures and their width divided by height, narrowest first."""
    widest: tuple[tuple[str, float], ...] = ()
    """Widest pictures and their width divided by height, widest first."""
    of_modes: dict[str, tuple[str, ...]] = {}
    """First pictures of each mode of stored pixels, in the order of the source."""
    unlabelled: tuple[str, ...] = ()
    """First pictures without a class."""


class Colours(Facts):
    """Colours of the pictures as 8-bit RGB; each picture has the same weight, whatever its size."""

    mean: Channels
    """Mean level of red, green and blue, from 0 to 255."""
    std: Channels
    """Standard deviation of each channel over all pixels of all pictures, in levels."""
    grey_share: float
    """Share of pictures in which no pixel's channels differ by more than 8 levels."""
    dark_border_share: float
    """Share of pictures whose border, 1/32 of the side wide, is black."""


class Symmetry(Facts):
    """Evidence for or against mirroring pictures in training."""

    nearer_share: float
    """Share of pictures that resemble the others more than their mirror images do; 0.5 if
    mirroring changes nothing."""
    compared: int
    """Number of randomly chosen pictures from which the share was computed."""


class FeatureMoments(Facts):
    """Mean and covariance of thumbnail features, by which `shift` compares two sets."""

    mean: tuple[float, ...]
    """Mean of each of the 64 features of `data.checking.measurement.thumbnail_features`."""
    covariance: tuple[float, ...]
    """Lower triangle of the features' covariance, with the diagonal, row by row."""
    halves_distance: float
    """Fréchet distance between two random halves of the pictures: the distance by chance."""

    @classmethod
    def of(cls, moments: Moments, halves_distance: float) -> FeatureMoments:
        """Round moments for a report, and keep the lower triangle of the symmetric covariance."""
        rows, columns = np.tril_indices(len(moments.mean))
        return cls(
            mean=rounded(moments.mean),
            covariance=rounded(moments.covariance[rows, columns]),
            halves_distance=round(halves_distance, DIGITS),
        )

    def moments(self, count: int) -> Moments:
        """Restore the moments; `count` is the number of readable pictures in the same report."""
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
    """Suggested settings, each under its configuration key."""

    resolution: Advice[int]
    """`schedule.resolution`: the largest power of two that nearly all pictures reach."""
    crop: Advice[str]
    """`data.crop`: method to make pictures square."""
    channels: Advice[int]
    """`data.channels`: 1 for grey, 3 for RGB."""
    mirror: Advice[bool]
    """`data.mirror`: True if images may be shown mirrored."""
    labels: Advice[bool]
    """`data.labels`: True if networks can be conditioned on the classes."""
    enough: Advice[bool]
    """Not a setting: True if there are enough pictures to train on."""


class Shift(Facts):
    """Shift from a previous set; all numbers but `features_by_chance` are 0 for the same set."""

    previous: str
    """Short name of the previous set."""
    colour: Channels
    """Difference of the mean red, green and blue, in standard deviations of the previous set."""
    class_shares: float
    """Total variation distance of the shares of classes: half the sum of their absolute
    differences, 1 if no class is in both. Pictures without a class count as one class."""
    new_classes: tuple[str, ...]
    """Classes that only the current set has."""
    vanished_classes: tuple[str, ...]
    """Classes that only the previous set has."""
    features: float
    """Fréchet distance of thumbnail features, in units of the previous set's spread: the square
    root of the sum of its features' variances."""
    features_by_chance: float
    """Value of `features` to expect between two random sets of these sizes from one source."""
    new_pictures: float
    """Share of the current set's distinct contents that the previous set lacks, estimated."""
    vanished_pictures: float
    """Share of the previous set's distinct contents that the current set lacks, estimated."""

    @property
    def largest_colour(self) -> float:
        """Largest absolute value of `colour` among the three channels."""
        return max(map(abs, self.colour))


class Survey(Facts):
    """Measurements of a source: the content of `report.json`."""

    format_version: Literal[1]
    """Version, which changes when the meaning of a field changes."""
    source: str
    """Short name of the source."""
    pictures: int
    """Number of pictures in the source, unreadable ones included."""
    readable: int
    """Number of pictures that could be read; the fields after `left_out` describe only these."""
    corrupt: tuple[Skipped, ...]
    """Pictures that could not be read, each with the reason."""
    left_out: dict[str, int] = {}
    """Number of files that were not read because of their extension, by extension."""
    sizes: Sizes
    formats: dict[str, int]
    """Number of pictures by file format; `pixels` for pictures stored as plain arrays."""
    modes: dict[str, int]
    """Number of pictures by mode of the stored pixels, in Pillow's names."""
    classes: dict[str, int]
    """Number of pictures by class; empty if the source has no classes."""
    unlabelled: int
    """Number of pictures without a class."""
    colours: Colours
    blank: tuple[str, ...]
    """Names of the pictures of a single colour."""
    exact_duplicates: tuple[tuple[str, ...], ...]
    """Groups of pictures that are stored as the same bytes, by name."""
    label_conflicts: int
    """Number of groups of exact duplicates whose pictures have different classes."""
    near_duplicates: tuple[tuple[str, ...], ...]
    """Groups of pictures that look alike, by name: each has another in its group whose 64-bit
    perceptual hash differs in at most `near_bits` bits. Exact copies count once; blank pictures
    are left out."""
    near_bits: int
    """Maximum number of bits in which the hashes of two near duplicates differ."""
    symmetry: Symmetry
    suggestions: Suggestions
    features: FeatureMoments
    content_sample: tuple[int, ...]
    """Sample of the pictures' contents: the up to 4096 smallest content hashes, ascending, each
    the first 48 bits of a SHA-256. By this rule, two sets sample the contents that they share
    alike."""
    # Has a default, because older reports, to which contracts may refer, lack the field.
    named: Named = Named()
    shift: Shift | None = None
    """Shift from another report; None if they were not compared."""
    broken_rules: tuple[str, ...] = ()
    """Rules of the contract that the pictures broke, each with the value received."""


def rounded(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[float, ...]:
    """Round numbers to `DIGITS` decimals for a report."""
    return tuple(round(float(value), DIGITS) for value in values)


def report_text(report: BaseModel) -> str:
    """Format a report as indented JSON, with each list of numbers on one line."""
    text = report.model_dump_json(indent=2)
    # Join the lines: one number per line would make the report thousands of lines long.
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
    """Read a report from its file, or from the folder in which `growgan data check` wrote it.

    Raises:
        UserError: if there is no report, or it has another format version.
    """
    file = path / REPORT if path.is_dir() else path
    try:
        return Survey.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(
            f"a report must be a `{REPORT}` of format {FORMAT_VERSION} that `growgan data check` "
            f"wrote. Received: {path}"
        ) from error
