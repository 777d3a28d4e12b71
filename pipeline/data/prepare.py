"""From a source to a prepared set, written shard by shard, that appears whole or not at all."""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pipeline.config import DataConfig
from pipeline.config.data import DECIDING_RECORDS
from pipeline.data.conversion import Result, Skipped, conversions
from pipeline.data.records import (
    FORMAT_VERSION,
    MANIFEST,
    Manifest,
    RecordSet,
    ShardFile,
    Split,
    is_prepared,
    open_records,
)
from pipeline.data.shards import (
    JOURNAL,
    Shard,
    Written,
    classes_taken,
    finished,
    label_numbers,
    shards_of,
    write_shard,
)
from pipeline.data.sources import Source, open_source
from pipeline.data.sources.reason import reason_of
from pipeline.errors import UserError
from pipeline.shape import (
    SHAPE_RULE,
    SMALLEST_SIDE,
    Shape,
    is_power_of_two,
    is_usable,
    shape_text,
)
from savedmodels import locks
from savedmodels.atomic import sync, write_file

NAMED_IN_MESSAGE = 5

Report = Callable[[int, int], None]
Writer = Callable[[list[Shard], DataConfig, tuple[Shape, ...], Path], None]


def records_for(
    data: DataConfig,
    resolutions: Sequence[int],
    report: Report | None = None,
    *,
    width: int | None = None,
) -> RecordSet:
    """The prepared set to train on: what `data.source` names, prepared now if it was not before.

    Sets are kept in `data.records / <source>-<largest>px-<hash>`, where the hash covers the content
    of the source and all that decides the pixels.

    Args:
        data: Which pictures, and how they get their shape.
        resolutions: Sides in pixels, powers of two from 4 to 1024, in any order; or a single one of
            any shape that networks can make.
        report: Called with the pictures done and their total while records are written.
        width: Width in pixels of images that are no squares, whose height is the one resolution.

    Raises:
        UserError: as `prepare`; or if the source is a prepared set that lacks a resolution or has
            other channels; or if labels are wanted of unlabelled pictures.
        ValueError: if no images can have these sides.

    Example:
        >>> records = records_for(DataConfig(source="digits", channels=1), [4, 8, 16])
        >>> records.count, records.resolutions
        (1797, (4, 8, 16))
    """
    shapes = _checked(resolutions, width)
    spec = _named(data)
    given = Path(spec).expanduser()
    if is_prepared(given):
        records = open_records(given)
        held = [records.shape(resolution) for resolution in records.resolutions]
        if not set(shapes) <= set(held) or records.channels != data.channels:
            raise UserError(
                f"a prepared set must have the run's resolutions and `data.channels`, "
                f"{', '.join(map(shape_text, shapes))} and {data.channels}. "
                f"Received: {given}, with {', '.join(map(shape_text, held))} and {records.channels}"
            )
    else:
        source = open_source(spec)
        identity = _identity(source, data, shapes)
        readable = re.sub(r"[^A-Za-z0-9_-]+", "-", source.name).strip("-")[:40]
        folder = data.records / f"{readable}-{shape_text(shapes[-1])}px-{_hash(identity)[:12]}"
        records = _prepared(source, identity, data, shapes, folder, report)
    if data.labels and not records.classes:
        raise UserError(
            "`data.labels` needs a source with class folders or a labels file. "
            f"Received: {data.source}, which has neither"
        )
    return records


def classes_of(data: DataConfig) -> tuple[str, ...]:
    """The classes of the set that `records_for` gives, without preparing it.

    Raises:
        UserError: if the source is wrong.
    """
    spec = _named(data)
    given = Path(spec).expanduser()
    if is_prepared(given):
        return open_records(given).classes
    return classes_taken(open_source(spec).classes, data)


def _named(data: DataConfig) -> str:
    if data.source is None:
        raise UserError("pictures must be named with --data or `data.source`. Received: neither")
    return data.source


def require_preparable(data: DataConfig) -> None:
    """Refuse what cannot be prepared, as far as that is known before any picture is read.

    Raises:
        UserError: if the source is wrong, or lacks a class that is to be taken.
    """
    spec = _named(data)
    if not is_prepared(Path(spec).expanduser()):
        shards_of(open_source(spec), data)


def prepare(
    data: DataConfig,
    resolutions: Sequence[int],
    folder: Path,
    report: Report | None = None,
    write: Writer | None = None,
    *,
    width: int | None = None,
) -> RecordSet:
    """Write the prepared set of a source to a folder, or find it there.

    Shards are written one after the other into a hidden folder beside it, which takes its name when
    all are there: a preparation that was killed goes on after its last shard. The largest size is
    made from the picture and each smaller one from the pixels of the largest.

    Args:
        data: Which pictures, and how they get their shape.
        resolutions: Sides in pixels, as for `records_for`.
        folder: New, or a set prepared of the same pictures in the same way.
        report: Called with the pictures done and their total while records are written.
        write: Writes shards in another way than processes on this machine, as `beam.writer` does.
        width: Width in pixels of images that are no squares.

    Raises:
        UserError: if the source is wrong or holds nothing readable, pictures are corrupt and
            `data.on_corrupt` is `fail`, the folder holds something else, the set found is damaged,
            a worker was killed, or records cannot be written.
        ValueError: if no images can have these sides.
    """
    shapes = _checked(resolutions, width)
    assert data.source is not None
    source = open_source(data.source)
    identity = _identity(source, data, shapes)
    return _prepared(source, identity, data, shapes, folder, report, write)


def resolutions_to(largest: int, width: int | None = None) -> tuple[int, ...]:
    """Every resolution from 4 to the largest, or the largest alone where images cannot grow to it.

    Args:
        largest: Largest side in pixels, or the height of images that are no squares.
        width: Width in pixels of images that are no squares.

    Raises:
        UserError: if no images can have these sides.
    """
    shape = (largest, width or largest)
    if not is_usable(shape):
        raise UserError(
            f"the images of a prepared set: {SHAPE_RULE}. Received: {shape[0]} and {shape[1]}"
        )
    if shape[0] != shape[1] or not is_power_of_two(largest):
        return (largest,)
    return tuple(2**n for n in range(SMALLEST_SIDE.bit_length() - 1, largest.bit_length()))


def content_hash(source: Source) -> str:
    """SHA-256, in hex, of a source's classes and of each picture's label and stored bytes.

    Nothing is decoded, and names do not count. What cannot be read counts as a marker.
    """
    digest = hashlib.sha256(json.dumps(source.classes).encode())
    for picture in source:
        try:
            content = hashlib.sha256(picture.content()).hexdigest()
        except OSError:
            content = "unreadable"
        digest.update(f"\n{picture.label} {content}".encode())
    return digest.hexdigest()


def _prepared(
    source: Source,
    identity: dict[str, Any],
    data: DataConfig,
    shapes: tuple[Shape, ...],
    folder: Path,
    report: Report | None,
    write: Writer | None = None,
) -> RecordSet:
    data_hash = _hash(identity)
    shards = shards_of(source, data)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
                partial = _partial(folder, data_hash)
                written = _write_all(source, shards, data, shapes, partial, report, write)
                manifest = _manifest(source, identity, data, shapes, written)
                write_file(partial / MANIFEST, manifest.model_dump_json(indent=2) + "\n")
                shutil.rmtree(partial / JOURNAL)
                sync(partial)
                partial.rename(folder)
                sync(folder.parent)
    except OSError as error:
        raise UserError(
            "prepared sets need a folder that can be written. "
            f"Received: {folder.parent} ({reason_of(error)})"
        ) from error
    if not is_prepared(folder):
        raise UserError(
            f"the folder of a prepared set must be new or hold one. Received: {folder}, which "
            "holds something else, or a set whose manifest or records are missing"
        )
    records = open_records(folder)
    if records.data_hash != data_hash:
        raise UserError(
            "the folder of a prepared set must be new, or hold the same pictures prepared in the "
            f"same way. Received: {folder}, which holds others"
        )
    if data.on_corrupt == "fail" and records.skipped:
        raise _corrupt(data.source, records.skipped, records.count + len(records.skipped))
    return records


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process prepares the same folder."""
    lock = folder.with_name(f".{folder.name}.lock")
    with locks.hold(lock):
        try:
            yield
        finally:
            lock.unlink()


def _partial(folder: Path, data_hash: str) -> Path:
    """Return the folder of an unfinished set; one that was begun of other content is removed."""
    partial = folder.with_name(f".{folder.name}.{data_hash[:12]}.partial")
    for other in folder.parent.glob(f".{glob.escape(folder.name)}.*.partial"):
        if other != partial:
            shutil.rmtree(other)
    partial.mkdir(exist_ok=True)
    return partial


def _write_all(
    source: Source,
    shards: list[Shard],
    data: DataConfig,
    shapes: tuple[Shape, ...],
    folder: Path,
    report: Report | None,
    write: Writer | None,
) -> list[tuple[Shard, Written]]:
    """Write every shard, but those that an earlier attempt has written."""
    total = sum(len(shard.pictures) for shard in shards)
    todo = [shard for shard in shards if finished(folder, shard) is None]
    done = total - sum(len(shard.pictures) for shard in todo)
    if write is not None:
        write(todo, data, shapes, folder)
    else:
        _write_here(
            source, todo, data, shapes, folder, report and (lambda n: report(done + n, total))
        )
    written = [(shard, known) for shard in shards if (known := finished(folder, shard))]
    if len(written) < len(shards):
        raise UserError(
            "every shard must be written. "
            f"Received: {len(written)} of {len(shards)} in {folder}; the command can be repeated"
        )
    skipped = _skipped(written)
    if len(skipped) == total or (skipped and data.on_corrupt == "fail"):
        shutil.rmtree(folder)
        raise _corrupt(str(data.source), skipped, total)
    return written


def _write_here(
    source: Source,
    shards: list[Shard],
    data: DataConfig,
    shapes: tuple[Shape, ...],
    folder: Path,
    report: Callable[[int], None] | None,
) -> None:
    """Write shards one after the other, their pictures converted by several processes."""
    wanted = [(index, shard.mirrored) for shard in shards for index in shard.pictures]
    labels = label_numbers(source.classes, data)
    # Closed at once when a shard cannot be written, so that no worker outlives the error.
    with closing(conversions(source, data, shapes, wanted)) as results:
        counted = _counted(results, report)
        for shard in shards:
            stretch = itertools.islice(counted, len(shard.pictures))
            write_shard(folder, shard, stretch, shapes, labels)


def _counted(results: Iterable[Result], report: Callable[[int], None] | None) -> Iterator[Result]:
    for number, result in enumerate(results, start=1):
        if report is not None:
            report(number)
        yield result


def _manifest(
    source: Source,
    identity: dict[str, Any],
    data: DataConfig,
    shapes: tuple[Shape, ...],
    written: list[tuple[Shard, Written]],
) -> Manifest:
    shards: dict[Split, dict[int, tuple[ShardFile, ...]]] = {}
    for split in dict.fromkeys(shard.split for shard, _ in written):
        mine = [files for shard, files in written if shard.split == split]
        shards[split] = {side: tuple(each.files[side] for each in mine) for side, _ in shapes}
    return Manifest(
        format_version=FORMAT_VERSION,
        data_hash=_hash(identity),
        source=source.name,
        source_hash=identity["source_hash"],
        classes=classes_taken(source.classes, data),
        resolutions=tuple(side for side, _ in shapes),
        width=identity.get("width"),
        channels=data.channels,
        preparation={
            name: identity[name] for name in DECIDING_RECORDS if name not in ("channels", "format")
        },
        format=data.format,
        skipped=_skipped(written),
        left_out=dict(source.left_out),
        shards=shards,
    )


def _identity(source: Source, data: DataConfig, shapes: tuple[Shape, ...]) -> dict[str, Any]:
    """All that decides the content of the records."""
    height, width = shapes[-1]
    keys = data.model_dump(mode="json", include=set(DECIDING_RECORDS))
    return {
        "format_version": FORMAT_VERSION,
        "source_hash": content_hash(source),
        "resolutions": tuple(side for side, _ in shapes),
        **({} if height == width else {"width": width}),
        **keys,
    }


def _hash(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _skipped(written: list[tuple[Shard, Written]]) -> tuple[Skipped, ...]:
    """In the order of the source."""
    by_index = {index: skip for _, each in written for index, skip in each.skipped.items()}
    return tuple(by_index[index] for index in sorted(by_index))


def _checked(resolutions: Sequence[int], width: int | None) -> tuple[Shape, ...]:
    shapes = tuple((side, width or side) for side in sorted(set(resolutions)))
    growing = width is None and all(is_power_of_two(side) for side, _ in shapes)
    if not shapes or not (growing or (len(shapes) == 1 and is_usable(shapes[0]))):
        raise ValueError(
            "`resolutions` must be powers of two from 4 to 1024, or a single one that networks can "
            f"make. Received: {list(resolutions)} and width={width}"
        )
    return shapes


def _corrupt(source: str | None, skipped: tuple[Skipped, ...], total: int) -> UserError:
    named = "; ".join(f"{name} ({reason})" for name, reason in skipped[:NAMED_IN_MESSAGE])
    more = len(skipped) - NAMED_IN_MESSAGE
    advice = "" if len(skipped) == total else ", or let `on_corrupt` be `skip`"
    return UserError(
        f"every picture must be usable: mend or remove what is not{advice}. "
        f"Received: {source}, with {len(skipped)} of {total} unusable: {named}"
        + (f"; and {more} more" if more > 0 else "")
    )
