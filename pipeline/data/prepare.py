"""Write a source as a prepared set, shard by shard; the set appears complete or not at all.

Training uses `records_for`, `growgan data prepare` uses `prepare`.
"""

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
    chosen_classes,
    label_numbers,
    read_journal,
    shards_of,
    write_shard,
)
from pipeline.data.sources import open_source
from pipeline.data.sources.reason import as_user_error
from pipeline.errors import UserError
from pipeline.shape import Shape, shape_text
from savedmodels import locks
from savedmodels.atomic import sync, write_file

NAMED_IN_MESSAGE = 5  # Maximum number of corrupt pictures that an error names.

Report = Callable[[int, int], None]
"""Progress callback: gets the number of pictures done and of all pictures."""
Writer = Callable[[list[Shard], DataConfig, tuple[Shape, ...], Path], None]
"""Function that writes shards into a folder elsewhere than in local processes: `beam.writer`."""


def records_for(
    data: DataConfig,
    resolutions: Sequence[int],
    report: Report | None = None,
    *,
    width: int | None = None,
) -> RecordSet:
    """Return the prepared set to train on, and prepare it first if necessary.

    If `data.source` is itself a prepared set, that is returned. New sets are kept in
    `data.records`. `resolutions` and `width` are as for `shapes_of`.

    Raises:
        UserError: for the reasons of `prepare`; if the source is a prepared set that lacks a
            resolution or has other channels; or if `data.labels` is set without classes.
        ValueError: if networks cannot make images of these sizes.

    Example:
        >>> records = records_for(DataConfig(source="digits", channels=1), [4, 8, 16])
        >>> records.count, records.resolutions
        (1797, (4, 8, 16))
    """
    shapes = shapes_of(resolutions, width)
    given = _given_set(data)
    if given is not None:
        records = open_records(given)
        present = [records.shape(resolution) for resolution in records.resolutions]
        if not set(shapes) <= set(present) or records.channels != data.channels:
            raise UserError(
                f"a prepared set must have the run's resolutions and `data.channels`, "
                f"{', '.join(map(shape_text, shapes))} and {data.channels}. "
                f"Received: {given}, with {', '.join(map(shape_text, present))} and "
                f"{records.channels}"
            )
    else:
        plan = Preparation(open_source(str(data.source)), data, shapes)
        records = _prepare_or_reuse(plan, data.records / plan.folder_name, report)
    if data.labels and not records.classes:
        raise UserError(
            "`data.labels` needs a source with class folders or a labels file. "
            f"Received: {data.source}, which has neither"
        )
    return records


def classes_of(data: DataConfig) -> tuple[str, ...]:
    """Return the classes of the set that `records_for` would return, without preparing it.

    Raises:
        UserError: if the source is wrong.
    """
    given = _given_set(data)
    if given is not None:
        return open_records(given).classes
    return chosen_classes(open_source(str(data.source)).classes, data)


def require_preparable(data: DataConfig) -> None:
    """Refuse a source or settings that `prepare` would refuse before it reads a picture.

    Raises:
        UserError: if there is no such source, it lacks a class, or a split would be empty.
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
    """Write the prepared set of a source to a new folder, or reuse the same set in it.

    Args:
        data: Source and settings.
        resolutions: Sizes of the images, as for `shapes_of`.
        folder: Folder of the set.
        report: Progress callback; not called if `write` is given.
        write: Function that writes the shards; None for local processes.
        width: Width of images that are not square, as for `shapes_of`.

    Raises:
        UserError: if the source is wrong or holds nothing readable, pictures are corrupt and
            `data.on_corrupt` is `fail`, the folder holds something else, the set in it is damaged,
            a worker was killed, or records cannot be written.
        ValueError: if networks cannot make images of these sizes.
    """
    shapes = shapes_of(resolutions, width)
    plan = Preparation(open_source(str(data.source)), data, shapes)
    return _prepare_or_reuse(plan, folder, report, write)


def _given_set(data: DataConfig) -> Path | None:
    """Return the source's folder if the source is itself a prepared set, else None."""
    if data.source is None:
        raise UserError("no pictures given: pass --data PATH or set `data.source`. Received: none")
    folder = Path(data.source).expanduser()
    return folder if is_prepared(folder) else None


def _prepare_or_reuse(
    plan: Preparation, folder: Path, report: Report | None, write: Writer | None = None
) -> RecordSet:
    data = plan.data
    shards = shards_of(plan.source, data)
    with as_user_error("prepared sets need a folder that can be written", folder.parent, OSError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(folder):
            if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
                partial = _partial_folder(folder, plan.data_hash)
                written = _write_shards(plan, shards, partial, report, write)
                manifest = _manifest(plan, written).model_dump_json(indent=2)
                write_file(partial / MANIFEST, manifest + "\n")
                shutil.rmtree(partial / JOURNAL)
                # Flush the folder before the rename, so that a crash leaves no set with gaps.
                sync(partial)
                partial.rename(folder)
                sync(folder.parent)
    if not is_prepared(folder):
        raise UserError(
            f"the folder of a prepared set must be new or hold one. Received: {folder}, which "
            "holds something else, or a set whose manifest or records are missing"
        )
    records = open_records(folder)
    if records.data_hash != plan.data_hash:
        raise UserError(
            "the folder of a prepared set must be new, or hold the same pictures prepared in the "
            f"same way. Received: {folder}, which holds others"
        )
    # Check again: the set may have been prepared earlier with `data.on_corrupt=skip`.
    if data.on_corrupt == "fail" and records.skipped:
        # Not from `records`, which counts mirrored copies too, and only one split.
        pictures = len({index for shard in shards for index in shard.pictures})
        raise _corrupt_pictures_error(data.source, records.skipped, pictures)
    return records


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Wait until no other process prepares the same folder, and keep others out."""
    lock = folder.with_name(f".{folder.name}.lock")
    with locks.hold(lock):
        try:
            yield
        finally:
            lock.unlink()


def _partial_folder(folder: Path, data_hash: str) -> Path:
    """Make or find the hidden folder of an unfinished set; remove unfinished sets of other data."""
    # Beside the final folder, so that the rename stays within one file system.
    partial = folder.with_name(f".{folder.name}.{data_hash[:12]}.partial")
    # Escape the name, in which brackets would be a pattern for `glob`.
    for other in folder.parent.glob(f".{glob.escape(folder.name)}.*.partial"):
        if other != partial:
            shutil.rmtree(other)
    partial.mkdir(exist_ok=True)
    return partial


def _write_shards(
    plan: Preparation,
    shards: list[Shard],
    folder: Path,
    report: Report | None,
    write: Writer | None,
) -> list[tuple[Shard, Written]]:
    """Write the shards that an earlier attempt did not finish; return all shards' entries."""
    total = sum(len(shard.pictures) for shard in shards)
    todo = [shard for shard in shards if read_journal(folder, shard) is None]
    done = total - sum(len(shard.pictures) for shard in todo)
    if write is not None:
        write(todo, plan.data, plan.shapes, folder)
    else:
        _write_locally(plan, todo, folder, report and (lambda n: report(done + n, total)))
    # Read the journal again: it has the shards of all attempts and machines.
    written = [(shard, entry) for shard in shards if (entry := read_journal(folder, shard))]
    if len(written) < len(shards):
        raise UserError(
            "every shard must be written. "
            f"Received: {len(written)} of {len(shards)} in {folder}; the command can be repeated"
        )
    skipped = _skipped_pictures(written)
    if len(skipped) == total or (skipped and plan.data.on_corrupt == "fail"):
        shutil.rmtree(folder)
        raise _corrupt_pictures_error(plan.data.source, skipped, total)
    return written


def _write_locally(
    plan: Preparation, shards: list[Shard], folder: Path, report: Callable[[int], None] | None
) -> None:
    """Write shards one after the other; worker processes convert the pictures if that pays."""
    source, data, shapes = plan.source, plan.data, plan.shapes
    # Convert all shards in one stream, so that workers need not wait at the end of each shard.
    pictures = [(index, shard.mirrored) for shard in shards for index in shard.pictures]
    labels = label_numbers(source.classes, data)
    # Close the stream at once when a shard cannot be written, so that no worker outlives the error.
    with closing(conversions(source, data, shapes, pictures)) as results:
        counted = _report_progress(results, report)
        for shard in shards:
            of_shard = itertools.islice(counted, len(shard.pictures))
            write_shard(folder, shard, of_shard, shapes, labels)


def _report_progress(
    results: Iterable[Result], report: Callable[[int], None] | None
) -> Iterator[Result]:
    for number, result in enumerate(results, start=1):
        if report is not None:
            report(number)
        yield result


def _manifest(plan: Preparation, written: list[tuple[Shard, Written]]) -> RecordSet:
    identity = plan.identity
    shards: dict[Split, dict[int, tuple[ShardFile, ...]]] = {}
    for split in dict.fromkeys(shard.split for shard, _ in written):
        of_split = [entry.files for shard, entry in written if shard.split == split]
        shards[split] = {side: tuple(files[side] for files in of_split) for side, _ in plan.shapes}
    return RecordSet(
        format_version=FORMAT_VERSION,
        data_hash=plan.data_hash,
        source=plan.source.name,
        source_hash=identity["source_hash"],
        classes=chosen_classes(plan.source.classes, plan.data),
        resolutions=identity["resolutions"],
        width=identity.get("width"),
        channels=plan.data.channels,
        # Leave out channels and format, which have fields of their own.
        preparation={
            name: identity[name] for name in DECIDING_RECORDS if name not in ("channels", "format")
        },
        format=plan.data.format,
        skipped=_skipped_pictures(written),
        left_out=dict(plan.source.left_out),
        shards=shards,
    )


def _skipped_pictures(written: list[tuple[Shard, Written]]) -> tuple[Skipped, ...]:
    """Collect the skipped pictures of all shards, in the order of the source."""
    by_index = {index: skip for _, entry in written for index, skip in entry.skipped.items()}
    return tuple(by_index[index] for index in sorted(by_index))


def _corrupt_pictures_error(
    source: str | None, skipped: tuple[Skipped, ...], total: int
) -> UserError:
    named = "; ".join(f"{name} ({reason})" for name, reason in skipped[:NAMED_IN_MESSAGE])
    more = len(skipped) - NAMED_IN_MESSAGE
    advice = "" if len(skipped) == total else ", or let `on_corrupt` be `skip`"
    return UserError(
        f"every picture must be usable: mend or remove what is not{advice}. "
        f"Received: {source}, with {len(skipped)} of {total} unusable: {named}"
        + (f"; and {more} more" if more > 0 else "")
    )
