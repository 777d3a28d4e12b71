"""Survey of a source for `growgan data check`: measure all pictures in one pass, and sum up."""

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
from pipeline.data.checking.moments import frechet_distance, merge_moments, moments_of
from pipeline.data.checking.near_duplicates import Groups, group_equal, groups_within
from pipeline.data.checking.report import (
    FORMAT_VERSION,
    MAX_NAMED,
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

CHUNK = 64
"""Pictures measured at a time; fixed, so that sums do not depend on the number of workers."""
NEAR_BITS = 4
"""Maximum number of bits in which the perceptual hashes of near duplicates differ. In photographs,
4 bits find copies that were recoloured, sharpened or stored again; at 5 and 6 bits the first false
matches appear. Icons and digits are too simple for a perceptual hash: most get nearly equal ones.
"""
SAMPLE = 4096
"""Maximum number of content hashes in a report. From 4,096, the share of new pictures is estimated
with a standard error of at most 0.8 %."""
COMPARED = 2048
"""Maximum number of pictures to compare with their mirror images, which takes under a second; the
share has a standard error of 1.1 %."""
KEY_BYTES = 6
"""Bytes kept of a content's SHA-256: a number that JSON stores exactly. Among a billion pictures,
one in 300,000 would have the key of a different picture."""
DIGEST_WORDS = 4  # Number of 64-bit words in a SHA-256.
BLANK_STD = 0.5  # Standard deviation of levels below which a picture counts as a single colour.

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
    indices = range(len(source))
    chunks = map_in_chunks(spec, source, _measure_chunk, indices, size=CHUNK, workers=workers)
    for measurements in chunks:
        before = tally.done
        tally.add(measurements)
        if report is not None:
            for done in range(before, tally.done):
                report(done + 1, len(source))
    return tally.survey(source)


def _measure_chunk(source: Source, indices: Sequence[int]) -> Measurements:
    return measure(source[index] for index in indices)


class _Tally:
    """Running sums over the pictures; it keeps the name and some 100 bytes of each picture."""

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
            of_mode += [name] if len(of_mode) < MAX_NAMED else []
        self._labels.append(new.labels)
        # Halve the bytes, because the size of every picture is kept.
        self._sizes.append(new.sizes.astype(np.int32))
        self._hashes.append(new.hashes)
        self._contents += b"".join(new.digests)
        variances = new.squares - new.means**2
        self._blank.append(np.all(variances < BLANK_STD**2, axis=1))
        self._means += new.means.sum(0)
        self._squares += new.squares.sum(0)
        self._grey += int(new.grey.sum())
        self._dark_borders += int(new.dark_borders.sum())
        # Halve the set at random, independent of the order: by the last bit of a content's hash.
        coins = np.array([digest[-1] & 1 for digest in new.digests], np.int64)
        self._halves = [
            # Merge moments, so that the features of all pictures need not be kept.
            merge_moments(half, moments_of(new.features[coins == side]))
            for side, half in enumerate(self._halves)
        ]
        keys = [int.from_bytes(digest[:KEY_BYTES], "big") for digest in new.digests]
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
        copies = group_equal(content)
        # Take each content once, so that exact duplicates are not listed as near duplicates.
        distinct = np.sort(first)
        # Leave out blank pictures: their hashes are nearly equal and would form one large group.
        distinct = distinct[~blank[distinct]]
        alike = groups_within(np.concatenate(self._hashes)[distinct], NEAR_BITS)
        sizes_px = np.concatenate(self._sizes)
        sizes = _summarize_sizes(sizes_px)
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
            exact_duplicates=self._names_of(copies),
            label_conflicts=sum(np.unique(labels[group]).size > 1 for group in copies),
            near_duplicates=self._names_of([distinct[group] for group in alike]),
            near_bits=NEAR_BITS,
            symmetry=symmetry,
            suggestions=suggestions(readable, sizes, colours, symmetry, classes, unlabelled),
            features=FeatureMoments.of(
                merge_moments(*self._halves), frechet_distance(*self._halves)
            ),
            content_sample=tuple(self._sample.keys.tolist()),
            named=self._name_extremes(sizes_px, labels),
        )

    def _name_extremes(
        self, sizes_px: npt.NDArray[np.int32], labels: npt.NDArray[np.int64]
    ) -> Named:
        def first(values: npt.NDArray[np.number], sign: int) -> tuple[tuple[str, float], ...]:
            order = np.argsort(sign * values, kind="stable")[:MAX_NAMED]
            return tuple((self.names[index], float(values[index])) for index in order)

        aspect = sizes_px[:, 0] / sizes_px[:, 1]
        without = np.flatnonzero(labels == UNLABELLED)[:MAX_NAMED]
        return Named(
            smallest=first(sizes_px.min(1), 1),
            largest=first(sizes_px.max(1), -1),
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

    def _names_of(self, groups: Groups) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(self.names[index] for index in group) for group in groups)


class _Sample:
    """Random sample of the pictures: those with the smallest content hashes, each content once."""

    # Choose by hash, so that the sample does not depend on the order of the pictures, and the
    # samples of two sets can be compared.

    def __init__(self) -> None:
        self.keys = np.zeros(0, np.int64)
        self._thumbs = np.zeros((0, THUMB, THUMB), np.uint8)
        self._labels = np.zeros(0, np.int64)

    def add(
        self,
        keys: npt.NDArray[np.int64],
        thumbs: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.int64],
    ) -> None:
        # Drop keys that cannot enter a full sample, because they exceed its largest.
        if len(self.keys) == SAMPLE:
            wanted = keys < self.keys[-1]
            keys, thumbs, labels = keys[wanted], thumbs[wanted], labels[wanted]
        if len(keys):
            every = np.concatenate([self.keys, keys])
            smallest, first = np.unique(every, return_index=True)
            first = first[:SAMPLE]
            self.keys = smallest[:SAMPLE]
            self._thumbs = np.concatenate([self._thumbs, thumbs])[first]
            self._labels = np.concatenate([self._labels, labels])[first]

    def symmetry(self) -> Symmetry:
        share, compared = nearer_share(self._thumbs[:COMPARED], self._labels[:COMPARED])
        return Symmetry(nearer_share=share, compared=compared)


def _summarize_sizes(sizes: npt.NDArray[np.int32]) -> Sizes:
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
