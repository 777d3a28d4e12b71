"""Commands that follow another one, as a shell takes them whatever the names of files."""

from __future__ import annotations

import shlex
from pathlib import Path


def training(data: str | Path, resolution: int, channels: int, *true: str) -> str:
    """The command that trains on a prepared set.

    Args:
        data: Of `--data`.
        resolution: That it is prepared for, in pixels.
        channels: Of its pictures.
        true: Keys that are to be true.
    """
    settings = {"schedule.resolution": resolution, "data.channels": channels}
    words = ["growgan", "train", "--config", "PRESET", "--data", str(data)]
    for key, value in (*settings.items(), *((key, "true") for key in true)):
        words += ["--set", f"{key}={value}"]
    return shlex.join(words)


def generation(run: Path) -> str:
    """The command that draws a grid of images of a run."""
    return shlex.join(["growgan", "generate", str(run), "--seeds", "0-15", "--out", "grid.png"])
