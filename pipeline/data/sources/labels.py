"""Read a source's labels file: labels.csv, labels.json, or StyleGAN2-ADA's dataset.json."""

from __future__ import annotations

import csv
import io
import json
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from pipeline.data.sources.reason import reason_of
from pipeline.errors import UserError

Entries = list[tuple[str, str]]  # Pairs of a picture's file name and its label.


def class_names(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct labels, sorted as numbers if all are integers, otherwise as text.

    Example:
        >>> class_names(["10", "9", "10"]), class_names(["10", "9", "ten"])
        (('9', '10'), ('10', '9', 'ten'))
    """
    distinct = sorted(set(labels))
    # At most 18 digits: Python refuses to convert texts of thousands.
    if all(re.fullmatch(r"-?\d{1,18}", label, re.ASCII) for label in distinct):
        # Sort as numbers: as text, "10" would come before "9".
        distinct.sort(key=int)
    return tuple(distinct)


def labels_in(
    place: str, files: Collection[str], pictures: Sequence[str], content: Callable[[str], bytes]
) -> dict[str, str | None] | None:
    """Read the label of each picture, None for each if the labels file has no entries.

    Returns None if there is no labels file. The file is at the root, or in a folder that holds all
    pictures; file names in it are relative to its folder. `content` reads a file's bytes, and
    `place` is the path of the folder or zip, for messages.

    Raises:
        UserError: if a labels file has another format, does not name each picture exactly once, or
            names a file that is no picture; or if there are several labels files.
    """
    labels_of = {}
    for folder in _folders_above(pictures):
        for name, parse in _PARSERS.items():
            file = posixpath.join(folder, name)
            if file not in files:
                continue
            try:
                # Decode as `utf-8-sig`, because spreadsheets write a byte order mark.
                entries = parse(content(file).decode("utf-8-sig"))
                if entries is not None:
                    labels_of[file] = _match(entries, folder, pictures)
            except (OSError, ValueError, RecursionError, csv.Error) as error:
                raise UserError(
                    f"{_RULES[name]}, and name each picture once. "
                    f"Received: {posixpath.join(place, file)}: {reason_of(error)}"
                ) from error
    if len(labels_of) > 1:
        raise UserError(
            f"a source must have one labels file. Received: {place}, with {' and '.join(labels_of)}"
        )
    return next(iter(labels_of.values()), None)


def _folders_above(pictures: Sequence[str]) -> list[str]:
    """List the folders that hold all pictures, from the root (the empty text) down."""
    common = posixpath.commonpath([posixpath.dirname(file) for file in pictures])
    parts = common.split("/") if common else []
    return ["/".join(parts[:end]) for end in range(len(parts) + 1)]


def _csv(text: str) -> Entries:
    rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    if not rows or rows[0] != ["file", "label"]:
        raise ValueError(f"begins with {','.join(rows[0]) if rows else 'nothing'!r}")
    for row in rows:
        if len(row) != 2:
            raise ValueError(f"has {len(row)} columns in the line of {row[0]!r}")
    return [(file, label) for file, label in rows[1:]]


def _json(text: str) -> Entries:
    # Read an object as a tuple of pairs, because a dictionary would hide a repeated name.
    document = json.loads(text, object_pairs_hook=tuple)
    if not isinstance(document, tuple):
        raise ValueError("is not a JSON object")
    return [(file, _label(file, label)) for file, label in document]


def _stylegan(text: str) -> Entries | None:
    document = json.loads(text)
    if not isinstance(document, dict) or "labels" not in document:
        return None
    # Read `{"labels": null}` as a set without labels, even if there are class folders.
    entries = [] if document["labels"] is None else document["labels"]
    if not isinstance(entries, list):
        raise ValueError("its labels are not a list")
    for entry in entries:
        match entry:
            case [str(), int()]:
                continue
        # Shorten the entry in the message: in another format it may have any length.
        raise ValueError(f"labels hold {json.dumps(entry)[:80]}")
    return [(file, _label(file, label)) for file, label in entries]


def _label(file: str, label: object) -> str:
    # Refuse true and false, which are integers in Python.
    if isinstance(label, str | int) and not isinstance(label, bool):
        return str(label)
    raise ValueError(f"the label of {file!r} is neither text nor an integer")


_PARSERS: dict[str, Callable[[str], Entries | None]] = {
    "labels.csv": _csv,
    "labels.json": _json,
    "dataset.json": _stylegan,
}
LABELS_FILES = frozenset(_PARSERS)
_RULES = {
    "labels.csv": "`labels.csv` must begin with the line `file,label`",
    "labels.json": '`labels.json` must be an object such as {"a.png": "cat"}',
    "dataset.json": '`dataset.json` must have labels such as [["a.png", 3]] or null',
}


def _resolve_names(names: Sequence[str], pictures: Sequence[str]) -> list[str]:
    r"""Return the picture that each name means; a name without a picture stays as it is.

    A name `a\b.png` means `a/b.png` if no picture has exactly that name.
    """
    known = set(pictures)
    # Compare in NFC: an accented letter may be two characters (NFD, as macOS stores it) or one.
    composed = {unicodedata.normalize("NFC", picture): picture for picture in pictures}

    def resolve(name: str) -> str:
        plain = posixpath.normpath(name)
        if plain in known:
            return plain
        slashed = posixpath.normpath(name.replace("\\", "/"))
        return composed.get(unicodedata.normalize("NFC", slashed), plain)

    return [resolve(name) for name in names]


def _match(entries: Entries, folder: str, pictures: Sequence[str]) -> dict[str, str | None]:
    """Return the label of each picture, None for each without entries; refuse partial entries."""
    if not entries:
        return dict.fromkeys(pictures)
    names = _resolve_names([posixpath.join(folder, file) for file, _ in entries], pictures)
    for files, problem in (
        ({file for file, count in Counter(names).items() if count > 1}, "named more than once"),
        (set(names) - set(pictures), "named that are not pictures here"),
        (set(pictures) - set(names), "not named"),
        ({file for file, label in entries if not label}, "labelled with an empty text"),
    ):
        if files:
            raise ValueError(f"{len(files)} {problem}, such as {min(files)}")
    labels = dict(zip(names, (label for _, label in entries), strict=True))
    return {file: labels[file] for file in pictures}
