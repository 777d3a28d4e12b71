"""Lineage of a run and of its exports: data, configuration, code and package versions."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import Config
from pipeline.loading import EXECUTION_KEYS, MONITORING_SECTIONS

if TYPE_CHECKING:
    from pipeline.data.records import RecordSet
    from pipeline.training.position import RollBack

PACKAGES = ("tensorflow", "keras", "numpy")  # Their versions are recorded.
INHERITED = ("growgan", "code", "packages", "config_hash", "data", "imported", "first_weights")
"""Entries that exports copy from the lineage of their run."""


def lineage_of_start(config: Config, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the lineage of a run that starts now, given the lineage of its data."""
    # Hash only what matters: not how a run is executed or monitored, nor where prepared sets are.
    # Other keys of `data` that only locate images stay in, as in hashes of earlier versions.
    left_out = {"run": set(EXECUTION_KEYS), "data": {"records"}}
    text = config.model_dump_json(exclude={**left_out, **dict.fromkeys(MONITORING_SECTIONS, True)})
    return {
        "growgan": metadata.version("growgan"),
        "code": _commit(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "started": _now(),
        "config_hash": hashlib.sha256(text.encode()).hexdigest(),
        "data": data,
        "exports": [],
    }


def lineage_of_data(config: Config, records: RecordSet) -> dict[str, Any]:
    """Return the lineage of prepared images: their source, content hash and classes."""
    return {
        "source": config.data.source,
        "hash": records.data_hash,
        "count": records.count,
        "classes": list(records.classes),
        "skipped": [list(skipped) for skipped in records.skipped],
    }


def lineage_of_export(
    run: Mapping[str, Any], images_seen: int, roll_backs: Sequence[RollBack]
) -> dict[str, Any]:
    """Return the lineage of an export from that of its run."""
    return {name: run[name] for name in INHERITED if name in run} | {
        "images_seen": images_seen,
        "roll_backs": [asdict(each) for each in roll_backs],
        "exported": _now(),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _commit() -> str | None:
    """Return the commit of this checkout, with `-dirty` if files changed; None without git."""
    result = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or None
