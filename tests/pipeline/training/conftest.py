"""A tiny run: digits at 4 and 8 px, a few dozen steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from tests.pipeline.training.reuse import REUSE

TINY: dict[str, Any] = {
    "data": {"source": "digits", "channels": 1},
    "network": {"fmap_max": 8, "latent_size": 8},
    "schedule": {
        "resolution": 8,
        "hold_images": {4: 64, 8: 96},
        "fade_images": 96,
        "batch_size": 8,
        "learning_rate": 0.001,
    },
    "run": {"log_images": 16, "sample_images": 64, "checkpoint_images": 64},
    # What depends on the time is not the same again, and to measure collapse takes long.
    "alarms": {"throughput": "ignore", "starvation": "ignore", "collapse": "ignore"},
}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Config]:
    """The tiny configuration; keyword arguments are sections with the keys to change."""
    records: Path = tmp_path_factory.mktemp("records")

    def make(**sections: dict[str, Any]) -> Config:
        merged = {name: {**TINY[name], **sections.get(name, {})} for name in TINY}
        merged["data"].setdefault("records", records)
        extra = {name: keys for name, keys in sections.items() if name not in TINY}
        return Config.model_validate({**merged, **extra})

    return make


@pytest.fixture(autouse=True)
def reused() -> Iterator[None]:
    """Let trainers use networks and traced steps again, with all variables as if new."""
    with REUSE.patched():
        yield
