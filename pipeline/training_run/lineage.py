"""Lineage of a run and of its exports: data, configuration, code and versions."""

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

PACKAGES = ("tensorflow", "keras", "numpy")
INHERITED = ("growgan", "code", "packages", "config_hash", "data", "imported", "first_weights")
"""Entries of a run's lineage that its exports have too."""


def lineage_of_start(config: Config, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the lineage of a run that starts on data with this lineage."""
    # Without how a run is executed or watched, and where prepared sets are. The source and the
    # readers of the data are in it, as in hashes of earlier versions.
    text = config.model_dump_json(
        exclude={
            "run": set(EXECUTION_KEYS),
            "data": {"records"},
            **dict.fromkeys(MONITORING_SECTIONS, True),
        }
    )
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
    """Return the lineage of prepared images."""
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
    """Describe the commit of this checkout, marked if it has changes; None if there is none."""
    result = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or None
