"""Measure a source in one pass over its pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from pipeline.data.checking.measurement import (
    FEATURES,
    THUMB,
    Measurements,
    measure,
)
from pipeline.data.checking.moments import frechet_distance, merged, moments_of
from pipeline.data.checking.near_duplicates import Groups, groups_within, same
from pipeline.data.checking.report import (
    FORMAT_VERSION,
    NAMED,
    Colours,
    FeatureMoments,
    Named,
    Sizes,
    Spread,
    Survey,
    Symmetry,
    rounded,
)
from pipeline.data.checking.suggestions import suggestions
from pipeline.data.checking.symmetry import nearer_share
from pipeline.data.conversion import UNLABELLED, Skipped
from pipeline.data.sources import Source, open_source
from pipeline.data.workers import map_in_chunks

RUN = 64
"""Pictures measured at a time; fixed, so that sums do not depend on the number of workers."""
NEAR_BITS = 4
"""Largest difference between perceptual hashes of near duplicates, in bits. On photographs it
finds copies that were recoloured, sharpened or stored again; at 5 and 6 bits the first false
matches appear. Icons and digits are too simple for such a hash: all look alike to it."""
SAMPLE = 4096
"""Content hashes in a report: enough to estimate the share of new pictures to 0.8 %."""
COMPARED = 2048
"""Pictures compared with their mirror images: accurate to 1.1 %, in under a second."""
KEY_BYTES = 6
"""Bytes of a content hash in a report: exact as a number in JSON, and of a billion pictures only
one in 300,000 shares its key with another by chance."""
DIGEST_WORDS = 4
"""Number of 64-bit words in a SHA-256."""
BLANK_STD = 0.5
"""Standard deviation of levels below which a picture counts as a single colour."""

Array = npt.NDArray[np.float64]


def survey(
    spec: str,
    *,
    workers: int | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Survey:
    """Measure every picture of a source; the result does not depend on the number of workers.

    Raises:
        UserError: if there is no such source.

    Example:
        >>> found = survey("digits", workers=1)
        >>> found.readable, found.suggestions.mirror.value
        (1797, False)
    """
    source = open_source(spec)
    tally = _Tally()
    numbers = range(len(source))
    for measurements in map_in_chunks(spec, source, _measured, numbers, size=RUN, workers=workers):
        before = tally.done
        tally.add(measurements)
        if report is not None:
            for done in range(before, tally.done):
                report(done + 1, len(source))
    return tally.survey(source)


def _measured(source: Source, numbers: Sequence[int]) -> Measurements:
    return measure(source[number] for number in numbers)


class _Tally:
    """Sums over the measurements so far; of each picture its name and some 100 bytes stay."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.corrupt: list[Skipped] = []
        self._formats: Counter[str] = Counter()
        self._modes: Counter[str] = Counter()
        self._of_modes: dict[str, list[str]] = {}
        self._labels: list[npt.NDArray[np.int64]] = []
        self._sizes: list[npt.NDArray[np.int32]] = []
        self._hashes: list[npt.NDArray[np.uint64]] = []
        self._contents = bytearray()
        self._blank: list[npt.NDArray[np.bool_]] = []
        self._means = np.zeros(3)
        self._squares = np.zeros(3)
        self._grey = 0
        self._dark_borders = 0
        self._halves = [moments_of(np.zeros((0, FEATURES))) for _ in range(2)]
        self._sample = _Sample()

    @property
    def done(self) -> int:
        return len(self.names) + len(self.corrupt)

    def add(self, new: Measurements) -> None:
        self.corrupt += new.unreadable
        self.names += new.names
        self._formats.update(new.formats)
        self._modes.update(new.modes)
        for name, mode in zip(new.names, new.modes, strict=True):
            of_mode = self._of_modes.setdefault(mode, [])
            of_mode += [name] if len(of_mode) < NAMED else []
        self._labels.append(new.labels)
        # Half as many bytes, as they stay for every picture.
        self._sizes.append(new.sizes.astype(np.int32))
        self._hashes.append(new.hashes)
        self._contents += b"".join(new.digests)
        variances = new.squares - new.means**2
        self._blank.append(np.all(variances < BLANK_STD**2, axis=1))
        self._means += new.means.sum(0)
        self._squares += new.squares.sum(0)
        self._grey += int(new.grey.sum())
        self._dark_borders += int(new.dark_borders.sum())
        # The last bit of a content's hash halves the set at random, independent of the order.
        coins = np.array([content[-1] & 1 for content in new.digests], np.int64)
        self._halves = [
            # Merged moments, because features of all pictures need not be kept.
            merged(half, moments_of(new.features[coins == side]))
            for side, half in enumerate(self._halves)
        ]
        keys = [int.from_bytes(content[:KEY_BYTES], "big") for content in new.digests]
        self._sample.add(np.array(keys, np.int64), new.grey_thumbs, new.labels)

    def survey(self, source: Source) -> Survey:
        readable = len(self.names)
        labels = np.concatenate(self._labels)
        counts = np.bincount(labels[labels != UNLABELLED], minlength=len(source.classes))
        classes = {name: int(n) for name, n in zip(source.classes, counts, strict=True)}
        unlabelled = int((labels == UNLABELLED).sum())
        blank = np.concatenate(self._blank)
        digests = np.frombuffer(self._contents, np.uint64).reshape(-1, DIGEST_WORDS)
        _, first, content = np.unique(digests, axis=0, return_index=True, return_inverse=True)
        copies = same(content)
        # Exact duplicates count once, so that near duplicates are other pictures.
        distinct = np.sort(first)
        # Blank pictures have nearly equal hashes, and would be one large group.
        distinct = distinct[~blank[distinct]]
        alike = groups_within(np.concatenate(self._hashes)[distinct], NEAR_BITS)
        pixels = np.concatenate(self._sizes)
        sizes = _sizes(pixels)
        colours = self._colours(readable)
        symmetry = self._sample.symmetry()
        return Survey(
            format_version=FORMAT_VERSION,
            source=source.name,
            pictures=self.done,
            readable=readable,
            corrupt=tuple(self.corrupt),
            left_out=dict(source.left_out),
            sizes=sizes,
            formats=dict(self._formats.most_common()),
            modes=dict(self._modes.most_common()),
            classes=classes,
            unlabelled=unlabelled,
            colours=colours,
            blank=tuple(self.names[index] for index in np.flatnonzero(blank)),
            exact_duplicates=self._named(copies),
            label_conflicts=sum(np.unique(labels[group]).size > 1 for group in copies),
            near_duplicates=self._named([distinct[group] for group in alike]),
            near_bits=NEAR_BITS,
            symmetry=symmetry,
            suggestions=suggestions(readable, sizes, colours, symmetry, classes, unlabelled),
            features=FeatureMoments.of(merged(*self._halves), frechet_distance(*self._halves)),
            content_sample=tuple(self._sample.keys.tolist()),
            named=self._standing_out(pixels, labels),
        )

    def _standing_out(self, pixels: npt.NDArray[np.int32], labels: npt.NDArray[np.int64]) -> Named:
        def first(values: npt.NDArray[np.number], sign: int) -> tuple[tuple[str, float], ...]:
            order = np.argsort(sign * values, kind="stable")[:NAMED]
            return tuple((self.names[index], float(values[index])) for index in order)

        aspect = pixels[:, 0] / pixels[:, 1]
        without = np.flatnonzero(labels == UNLABELLED)[:NAMED]
        return Named(
            smallest=first(pixels.min(1), 1),
            largest=first(pixels.max(1), -1),
            narrowest=first(aspect, 1),
            widest=first(aspect, -1),
            of_modes={mode: tuple(names) for mode, names in self._of_modes.items()},
            unlabelled=tuple(self.names[index] for index in without),
        )

    def _colours(self, readable: int) -> Colours:
        count = max(1, readable)
        mean, square = self._means / count, self._squares / count
        red, green, blue = rounded(mean)
        # Rounding may leave a variance just below zero.
        deviations = rounded(np.sqrt(np.maximum(0, square - mean**2)))
        return Colours(
            mean=(red, green, blue),
            std=(deviations[0], deviations[1], deviations[2]),
            grey_share=self._grey / count,
            dark_border_share=self._dark_borders / count,
        )

    def _named(self, groups: Groups) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(self.names[index] for index in group) for group in groups)


class _Sample:
    """Sample of the pictures with the smallest content hashes; each content counts once."""

    # By hashes, because that random choice does not depend on the order, and takes the same
    # pictures from two sets as far as both have them.

    def __init__(self) -> None:
        self.keys = np.zeros(0, np.int64)
        self._small = np.zeros((0, THUMB, THUMB), np.uint8)
        self._labels = np.zeros(0, np.int64)

    def add(
        self,
        keys: npt.NDArray[np.int64],
        small: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.int64],
    ) -> None:
        # A full sample loses its largest for a smaller one, so larger ones are dropped at once.
        if len(self.keys) == SAMPLE:
            wanted = keys < self.keys[-1]
            keys, small, labels = keys[wanted], small[wanted], labels[wanted]
        if len(keys):
            every = np.concatenate([self.keys, keys])
            smallest, first = np.unique(every, return_index=True)
            first = first[:SAMPLE]
            self.keys = smallest[:SAMPLE]
            self._small = np.concatenate([self._small, small])[first]
            self._labels = np.concatenate([self._labels, labels])[first]

    def symmetry(self) -> Symmetry:
        share, compared = nearer_share(self._small[:COMPARED], self._labels[:COMPARED])
        return Symmetry(nearer_share=share, compared=compared)


def _sizes(sizes: npt.NDArray[np.int32]) -> Sizes:
    width, height = sizes[:, 0], sizes[:, 1]
    shortest = sizes.min(1)
    powers, counts = np.unique(2 ** np.floor(np.log2(shortest)).astype(int), return_counts=True)
    return Sizes(
        width=_spread(width),
        height=_spread(height),
        shortest_side=_spread(shortest),
        longest_side=_spread(sizes.max(1)),
        aspect_ratio=_spread(width / height),
        shortest_sides=dict(zip(powers.tolist(), counts.tolist(), strict=True)),
    )


def _spread(values: npt.NDArray[np.number]) -> Spread:
    if not values.size:
        return Spread(least=0, median=0, most=0)
    return Spread(
        least=float(values.min()), median=float(np.median(values)), most=float(values.max())
    )
