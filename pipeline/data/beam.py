"""Write the shards of a prepared set with Apache Beam, for sets that outgrow one machine.

Each element of the Beam pipeline is a shard. Beam is in the extra `beam`. All workers must see the
source, and the set's folder, under the same path, as on a shared file system.
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
from pipeline.data.workers import open_once
from pipeline.errors import UserError
from pipeline.shape import Shape


def writer(options: Sequence[str]) -> Writer:
    """Return a function that writes shards in a Beam pipeline, for `data.prepare.prepare`.

    The function raises OSError or UserError; any other error of Beam or of a worker becomes a
    UserError. `options` are Beam's, such as `--runner=FlinkRunner`.
    """

    def write(
        shards: list[Shard], data: DataConfig, shapes: tuple[Shape, ...], folder: Path
    ) -> None:
        # Use a new key, because the source may have changed since an earlier pipeline.
        pipeline_key = uuid.uuid4().hex

        def write_one(shard: Shard) -> None:
            assert data.source is not None
            source = open_once(pipeline_key, data.source)
            results = (
                convert(source[index], data, shapes, mirrored=shard.mirrored)
                for index in shard.pictures
            )
            write_shard(folder, shard, results, shapes, label_numbers(source.classes, data))

        try:
            with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
                # Reshuffle: otherwise a runner may write all shards on the worker with the list.
                _ = pipeline | beam.Create(shards) | beam.Reshuffle() | beam.Map(write_one)
        except (OSError, UserError):
            raise
        except Exception as error:  # Each runner raises different errors.
            raise UserError(
                "a Beam pipeline must run to its end. "
                f"Received: {shlex.join(options)}, {type(error).__name__}: {reason_of(error)}"
            ) from error

    return write
