"""Options of the command line, and checks, that several commands share."""

from __future__ import annotations

import csv
import logging
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.errors import UserError
from pipeline.errors.shown import shown

Preset = Annotated[
    str, typer.Option("--config", "-c", help="Preset, or YAML file that ends in .yaml.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Override a setting of the configuration; repeatable.",
    ),
]
DataSource = Annotated[
    str | None,
    typer.Option("--data", help="Pictures: a folder, zip, or other source of docs/data.md."),
]
Checkpoint = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="IMAGES_SEEN",
        help="Checkpoint at this number of images seen. (default: the newest)",
    ),
]
Crop = Annotated[
    Literal["center", "pad", "stretch", "none"],
    typer.Option(
        help="Way to fit pictures to the square or rectangle; a prepared set ignores this."
    ),
]
OnCorrupt = Annotated[
    Literal["fail", "skip"], typer.Option(help="Fail on unreadable pictures, or skip them.")
]
Run = Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)]
Project = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the project.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

MIN_ADDRESS_SPACE = 2**32
"""Address space in bytes that TensorFlow's libraries and threads need before any computation."""


def load_tensorflow(intra_op_threads: int | None = None) -> None:
    """Import TensorFlow without the lines that it prints before log settings take effect.

    The import takes seconds, so call this after all checks that do not need TensorFlow.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    # Refuse a low limit, which would crash the process. A negative limit means no limit.
    if 0 <= limit < MIN_ADDRESS_SPACE:
        raise UserError(
            f"the limit on address space (`ulimit -v`) must be at least "
            f"{MIN_ADDRESS_SPACE // 1024} KiB for TensorFlow. Received: {limit // 1024}"
        )
    # Redirect descriptor 2: TensorFlow's C++ writes there, not to `sys.stderr`.
    standard_error, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        import tensorflow as tf
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nothing)
    # Silence the retracing warning: each phase traces its own step. Real errors are raised.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if intra_op_threads is not None:  # Must precede the first computation.
        tf.config.threading.set_intra_op_parallelism_threads(intra_op_threads)


@contextmanager
def needs_extra(feature: str, extra: str) -> Iterator[None]:
    """Convert a failed import in the block to an error that names the extra to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            f"{feature} needs the extra `{extra}`: pip install 'growgan[{extra}]'. "
            f"Missing: {error.name}"
        ) from error


@contextmanager
def user_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Convert errors of these kinds in the block to `UserError`, with the same message."""
    try:
        yield
    except kinds as error:
        raise UserError(str(error)) from error


def require_text(path: Path) -> None:
    """Refuse a path that is not UTF-8, because TensorFlow cannot open it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UserError(f"a path must be text in UTF-8. Received: {shown(str(path))}") from None


def require_folder(option: str, folder: Path | None) -> None:
    """Refuse a path at which this user cannot create a folder or write into it."""
    if folder is None:
        return
    # Walk up to the first existing folder; everything below it will be created.
    for each in (folder, *folder.parents):
        fault = None
        if each.is_file():
            fault = "is a file"
        elif each.is_symlink() and not each.exists():
            fault = "is a broken link"
        elif each.is_dir() and not os.access(each, os.W_OK | os.X_OK):
            fault = "cannot be written by this user"
        if fault is not None:
            raise UserError(f"`{option}` must be a folder. Received: {folder}, and {each} {fault}")
        if each.is_dir():
            return


def require_outside(out: Path | None, source: str) -> None:
    """Refuse to write into a folder of pictures, where output would count as pictures."""
    pictures = Path(source).expanduser().resolve()
    if out is not None and pictures.is_dir() and out.resolve().is_relative_to(pictures):
        raise UserError(
            f"output must be outside the folder of pictures. Received: {out}, which is in {source}"
        )


def require_new(out: Path) -> None:
    """Refuse an existing folder."""
    if out.exists():
        raise UserError(f"`--out` must be a new folder. Received: {out}, which exists")


def parse_classes(text: str) -> tuple[str, ...]:
    """Split the text of `--classes` into names; quotes enclose a name with a comma.

    Raises:
        UserError: if there is no name, or a quotation mark is not closed.

    Example:
        >>> parse_classes('cat, "red, or brown"')
        ('cat', 'red, or brown')
    """
    try:
        rows = list(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise UserError(f'`--classes` must be like cat,"a,b". Received: {text}') from error
    names = tuple(name.strip() for row in rows for name in row)
    if not names or not all(names):
        raise UserError(f"`--classes` must be names with commas between. Received: {text}")
    return names
