"""Build the commands that are printed as `next:`, quoted for a shell."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors.shown import shown
from pipeline.shape import Shape, is_power_of_two


def quote(word: str) -> str:
    r"""Quote a word for bash, on one line and without control characters.

    Example:
        >>> quote("two words"), quote("a\nb")
        ("'two words'", "$'a\\nb'")
    """
    # Control characters could move the cursor, or run as a second line when pasted.
    if word.isprintable():
        return shlex.quote(word)
    plain = {"\\": "\\\\", "'": "\\'"}
    return "$'" + "".join(plain.get(each) or shown(each) for each in word) + "'"


def join_command(words: Iterable[str]) -> str:
    """Quote words for bash, and join them to a command."""
    return " ".join(map(quote, words))


def training_command(data: str | Path, shape: Shape, channels: int, *true: str) -> str:
    """Make the command that trains on a prepared set.

    Args:
        data: Value of `--data`.
        shape: Height and width of the largest images in the set.
        channels: Number of channels of the pictures in the set.
        true: Keys of settings to set to true, such as `data.mirror`.
    """
    resolution, width = shape
    settings: dict[str, int | str] = {"schedule.resolution": resolution, "data.channels": channels}
    if resolution == width and is_power_of_two(resolution):
        # Growing presets for two CPU cores, for any resolution; the first starts at 8 px.
        preset = "stylegan-eurosat64" if channels == 3 and resolution >= 8 else "progan-mnist32"
    else:
        preset = "stylegan2-mnist32"  # Other shapes need a family that does not grow.
        settings["schedule.start_resolution"] = resolution  # Override the preset's 32.
        if resolution != width:
            settings["schedule.width"] = width
        if "data.labels" not in true:
            settings["data.labels"] = "false"  # Override the preset's true.
    words = ["growgan", "train", "--config", preset, "--data", str(data)]
    for key, value in (*settings.items(), *((key, "true") for key in true)):
        words += ["--set", f"{key}={value}"]
    return join_command(words)


def generation_command(run: Path) -> str:
    """Make the command that generates a grid of images from a run."""
    return join_command(["growgan", "generate", str(run), "--seeds", "0-15", "--out", "grid.png"])
