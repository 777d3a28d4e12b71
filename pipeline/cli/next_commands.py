"""Suggest next commands, quoted for a shell."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors.shown import shown
from pipeline.shape import Shape, is_power_of_two


def quoted(word: str) -> str:
    r"""Quote a word for bash, on one line and without control characters.

    Example:
        >>> quoted("two words"), quoted("a\nb")
        ("'two words'", "$'a\\nb'")
    """
    # Control characters could move the cursor, or run as a second line when pasted.
    if word.isprintable():
        return shlex.quote(word)
    plain = {"\\": "\\\\", "'": "\\'"}
    return "$'" + "".join(plain.get(each) or shown(each) for each in word) + "'"


def joined(words: Iterable[str]) -> str:
    """Join words to a command for bash."""
    return " ".join(map(quoted, words))


def training(data: str | Path, shape: Shape, channels: int, *true: str) -> str:
    """Make the command that trains on a prepared set.

    Args:
        data: Value of `--data`.
        shape: Height and width of the largest images in the set.
        channels: Channels of its pictures.
        true: Settings to set to true.
    """
    resolution, width = shape
    settings: dict[str, int | str] = {"schedule.resolution": resolution, "data.channels": channels}
    if resolution == width and is_power_of_two(resolution):
        # Growing presets for two CPU cores, for any resolution; the first starts at 8 px.
        preset = "stylegan-eurosat64" if channels == 3 and resolution >= 8 else "progan-mnist32"
    else:
        preset = "stylegan2-mnist32"  # Its family does not grow, so it can make other shapes.
        settings["schedule.start_resolution"] = resolution  # The preset has 32.
        if resolution != width:
            settings["schedule.width"] = width
        if "data.labels" not in true:
            settings["data.labels"] = "false"  # The preset has labels.
    words = ["growgan", "train", "--config", preset, "--data", str(data)]
    for key, value in (*settings.items(), *((key, "true") for key in true)):
        words += ["--set", f"{key}={value}"]
    return joined(words)


def generation(run: Path) -> str:
    """Make the command that draws a grid of images of a run."""
    return joined(["growgan", "generate", str(run), "--seeds", "0-15", "--out", "grid.png"])
