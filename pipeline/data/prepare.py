"""From a source to a prepared set, written shard by shard, that appears whole or not at all."""

from __future__ import annotations

import glob
import itertools
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from pipeline.config import DataConfig
from pipeline.config.data import DECIDING_RECORDS
from pipeline.data.conversion import Result, Skipped, conversions
from pipeline.data.preparation import Preparation, shapes_of
from pipeline.data.records import (
    FORMAT_VERSION,
    MANIFEST,
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
from pipeline.data.sources import open_source
from pipeline.data.sources.reason import as_user_error
from pipeline.errors import UserError
from pipeline.shape import Shape, shape_text
from savedmodels import locks
from savedmodels.atomic import sync, write_file

NAMED_IN_MESSAGE = 5

Report = Callable[[int, int], None]
"""Called with the pictures done and their total while records are written."""
Writer = Callable[[list[Shard], DataConfig, tuple[Shape, ...], Path], None]
"""Writes shards in another way than processes on this machine, as `beam.writer` does."""


def records_for(
    data: DataConfig,
    resolutions: Sequence[int],
    report: Report | None = None,
    *,
    width: int | None = None,
) -> RecordSet:
    """Return the prepared set to train on: what `data.source` names, prepared now if it was not.

    Sets are kept in `data.records`; `resolutions` and `width` are those of `shapes_of`.

    Raises:
        UserError: as `prepare`; or if the source is a prepared set that lacks a resolution or has
            other channels; or if labels are wanted of unlabelled pictures.
        ValueError: if no images can have these sides.

    Example:
        >>> records = records_for(DataConfig(source="digits", channels=1), [4, 8, 16])
        >>> records.count, records.resolutions
        (1797, (4, 8, 16))
    """
    shapes = shapes_of(resolutions, width)
    given = _given_set(data)
    if given is not None:
        records = open_records(given)
        held = [records.shape(resolution) for resolution in records.resolutions]
        if not set(shapes) <= set(held) or records.channels != data.channels:
            raise UserError(
                f"a prepared set must have the run's resolutions and `data.channels`, "
                f"{', '.join(map(shape_text, shapes))} and {data.channels}. "
                f"Received: {given}, with {', '.join(map(shape_text, held))} and {records.channels}"
            )
    else:
        wanted = Preparation(open_source(str(data.source)), data, shapes)
        records = _prepared(wanted, data.records / wanted.folder_name, report)
    if data.labels and not records.classes:
        raise UserError(
            "`data.labels` needs a source with class folders or a labels file. "
            f"Received: {data.source}, which has neither"
        )
    return records


def classes_of(data: DataConfig) -> tuple[str, ...]:
    """Return the classes of the set that `records_for` gives, without preparing it.

    Raises:
        UserError: if the source is wrong.
    """
    given = _given_set(data)
    if given is not None:
        return open_records(given).classes
    return classes_taken(open_source(str(data.source)).classes, data)


def require_preparable(data: DataConfig) -> None:
    """Refuse what cannot be prepared, as far as that is known before any picture is read.

    Raises:
        UserError: if the source is wrong, or lacks a class that is to be taken.
    """
    if _given_set(data) is None:
        shards_of(open_source(str(data.source)), data)


def prepare(
    data: DataConfig,
    resolutions: Sequence[int],
    folder: Path,
    report: Report | None = None,
    write: Writer | None = None,
    *,
    width: int | None = None,
) -> RecordSet:
    """Write the prepared set of a source to a new folder, or find it there.

    Raises:
        UserError: if the source is wrong or holds nothing readable, pictures are corrupt and
            `data.on_corrupt` is `fail`, the folder holds something else, the set found is damaged,
            a worker was killed, or records cannot be written.
        ValueError: if no images can have these sides.
    """
    shapes = shapes_of(resolutions, width)
    wanted = Preparation(open_source(str(data.source)), data, shapes)
    return _prepared(wanted, folder, report, write)


def _given_set(data: DataConfig) -> Path | None:
    """Return the folder of the prepared set that is itself the source, if it is one."""
    if data.source is None:
        raise UserError("no pictures given: pass --data PATH or set `data.source`. Received: none")
    folder = Path(data.source).expanduser()
    return folder if is_prepared(folder) else None


def _prepared(
    wanted: Preparation, folder: Path, report: Report | None, write: Writer | None = None
) -> RecordSet:
    data = wanted.data
    shards = shards_of(wanted.source, data)
    with as_user_error("prepared sets need a folder that can be written", folder.parent, OSError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
                # Beside the final folder, so that the rename stays within one file system.
                partial = _partial(folder, wanted.data_hash)
                written = _write_all(wanted, shards, partial, report, write)
                manifest = _described(wanted, written).model_dump_json(indent=2)
                write_file(partial / MANIFEST, manifest + "\n")
                shutil.rmtree(partial / JOURNAL)
                # Names on the disk before the rename, so that a crash leaves no set with gaps.
                sync(partial)
                partial.rename(folder)
                sync(folder.parent)
    if not is_prepared(folder):
        raise UserError(
            f"the folder of a prepared set must be new or hold one. Received: {folder}, which "
            "holds something else, or a set whose manifest or records are missing"
        )
    records = open_records(folder)
    if records.data_hash != wanted.data_hash:
        raise UserError(
            "the folder of a prepared set must be new, or hold the same pictures prepared in the "
            f"same way. Received: {folder}, which holds others"
        )
    # The set may be of an earlier run that allowed gaps.
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
    """Return the hidden folder of an unfinished set; remove those of other content."""
    partial = folder.with_name(f".{folder.name}.{data_hash[:12]}.partial")
    # Escaped: a folder's name may hold brackets, which are a pattern to `glob`.
    for other in folder.parent.glob(f".{glob.escape(folder.name)}.*.partial"):
        if other != partial:
            shutil.rmtree(other)
    partial.mkdir(exist_ok=True)
    return partial


def _write_all(
    wanted: Preparation,
    shards: list[Shard],
    folder: Path,
    report: Report | None,
    write: Writer | None,
) -> list[tuple[Shard, Written]]:
    """Write every shard that an earlier attempt has not written."""
    total = sum(len(shard.pictures) for shard in shards)
    todo = [shard for shard in shards if finished(folder, shard) is None]
    done = total - sum(len(shard.pictures) for shard in todo)
    if write is not None:
        write(todo, wanted.data, wanted.shapes, folder)
    else:
        _write_here(wanted, todo, folder, report and (lambda n: report(done + n, total)))
    # Read back from the journal: shards of all attempts and machines have their entry there.
    written = [(shard, known) for shard in shards if (known := finished(folder, shard))]
    if len(written) < len(shards):
        raise UserError(
            "every shard must be written. "
            f"Received: {len(written)} of {len(shards)} in {folder}; the command can be repeated"
        )
    skipped = _skipped(written)
    if len(skipped) == total or (skipped and wanted.data.on_corrupt == "fail"):
        shutil.rmtree(folder)
        raise _corrupt(wanted.data.source, skipped, total)
    return written


def _write_here(
    wanted: Preparation, shards: list[Shard], folder: Path, report: Callable[[int], None] | None
) -> None:
    """Write shards one after the other, their pictures converted by several processes."""
    source, data, shapes = wanted.source, wanted.data, wanted.shapes
    # One stream over all shards, so that workers need not wait at the end of each.
    pictures = [(index, shard.mirrored) for shard in shards for index in shard.pictures]
    labels = label_numbers(source.classes, data)
    # Closed at once when a shard cannot be written, so that no worker outlives the error.
    with closing(conversions(source, data, shapes, pictures)) as results:
        counted = _counted(results, report)
        for shard in shards:
            stretch = itertools.islice(counted, len(shard.pictures))
            write_shard(folder, shard, stretch, shapes, labels)


def _counted(results: Iterable[Result], report: Callable[[int], None] | None) -> Iterator[Result]:
    for number, result in enumerate(results, start=1):
        if report is not None:
            report(number)
        yield result


def _described(wanted: Preparation, written: list[tuple[Shard, Written]]) -> RecordSet:
    identity = wanted.identity
    shards: dict[Split, dict[int, tuple[ShardFile, ...]]] = {}
    for split in dict.fromkeys(shard.split for shard, _ in written):
        mine = [each.files for shard, each in written if shard.split == split]
        shards[split] = {side: tuple(files[side] for files in mine) for side, _ in wanted.shapes}
    return RecordSet(
        format_version=FORMAT_VERSION,
        data_hash=wanted.data_hash,
        source=wanted.source.name,
        source_hash=identity["source_hash"],
        classes=classes_taken(wanted.source.classes, wanted.data),
        resolutions=identity["resolutions"],
        width=identity.get("width"),
        channels=wanted.data.channels,
        # Channels and format have fields of their own.
        preparation={
            name: identity[name] for name in DECIDING_RECORDS if name not in ("channels", "format")
        },
        format=wanted.data.format,
        skipped=_skipped(written),
        left_out=dict(wanted.source.left_out),
        shards=shards,
    )


def _skipped(written: list[tuple[Shard, Written]]) -> tuple[Skipped, ...]:
    # In the order of the source, which is not that of the shards.
    by_index = {index: skip for _, each in written for index, skip in each.skipped.items()}
    return tuple(by_index[index] for index in sorted(by_index))


def _corrupt(source: str | None, skipped: tuple[Skipped, ...], total: int) -> UserError:
    named = "; ".join(f"{name} ({reason})" for name, reason in skipped[:NAMED_IN_MESSAGE])
    more = len(skipped) - NAMED_IN_MESSAGE
    advice = "" if len(skipped) == total else ", or let `on_corrupt` be `skip`"
    return UserError(
        f"every picture must be usable: mend or remove what is not{advice}. "
        f"Received: {source}, with {len(skipped)} of {total} unusable: {named}"
        + (f"; and {more} more" if more > 0 else "")
    )
