"""Prepare data with Apache Beam, for sets that outgrow one machine; a shard is an element.

It needs the extra `beam`. Every worker must see the source and the set's folder under one path,
on a shared file system.
"""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.config import DataConfig
from pipeline.data.conversion import convert
from pipeline.data.prepare import Writer
from pipeline.data.shards import Shard, label_numbers, write_shard
from pipeline.data.sources.reason import reason_of
from pipeline.data.workers import opened
from pipeline.errors import UserError
from pipeline.shape import Shape


def writer(options: Sequence[str]) -> Writer:
    """Return a function that writes shards as a Beam pipeline, for `data.prepare.prepare`.

    It raises OSError, or UserError with any other error of Beam or of a worker.
    """

    def write(
        shards: list[Shard], data: DataConfig, shapes: tuple[Shape, ...], folder: Path
    ) -> None:
        # A new key, because the source may have changed since an earlier pipeline.
        once = uuid.uuid4().hex

        def write_one(shard: Shard) -> None:
            assert data.source is not None
            source = opened(once, data.source)
            results = (
                convert(source[index], data, shapes, mirrored=shard.mirrored)
                for index in shard.pictures
            )
            write_shard(folder, shard, results, shapes, label_numbers(source.classes, data))

        try:
            with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
                # Else a runner may run all shards on the worker that made the list.
                _ = pipeline | beam.Create(shards) | beam.Reshuffle() | beam.Map(write_one)
        except (OSError, UserError):
            raise
        except Exception as error:  # Each runner raises different errors.
            raise UserError(
                "a Beam pipeline must run to its end. "
                f"Received: {shlex.join(options)}, {type(error).__name__}: {reason_of(error)}"
            ) from error

    return write
