"""Options, checks and the console that several commands share."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from rich.console import Console

Preset = Annotated[
    str, typer.Option("--config", "-c", help="Preset, or YAML file that ends in .yaml.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a setting; repeatable."),
]
DataSource = Annotated[
    str | None,
    typer.Option("--data", help="Pictures: a folder, a zip, MNIST idx files, or digits."),
]
Run = Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)]


LEAST_ADDRESSES = 2**32
"""Address space in bytes that TensorFlow's libraries and threads need before any computation."""


def load_tensorflow(intra_op_threads: int | None = None) -> None:
    """Import TensorFlow without the lines that it prints before log settings take effect.

    Raises:
        UserError: if the limit on address space is too low: TensorFlow would crash.
    """
    import resource

    from pipeline.errors import UserError

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    # A negative limit means no limit.
    if 0 <= limit < LEAST_ADDRESSES:
        raise UserError(
            f"the limit on address space (`ulimit -v`) must be at least {LEAST_ADDRESSES // 1024} "
            f"KiB for TensorFlow. Received: {limit // 1024}"
        )
    # TensorFlow's C++ writes to descriptor 2, which Python cannot redirect otherwise.
    standard_error, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        import tensorflow as tf
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nothing)
    # TensorFlow warns when each phase traces its own step; real errors are raised anyway.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if intra_op_threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(intra_op_threads)


def require_text(path: Path) -> None:
    """Refuse a path that TensorFlow cannot open.

    Raises:
        UserError: if it is not UTF-8 text.
    """
    from pipeline.errors import UserError
    from pipeline.errors.shown import shown

    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UserError(f"a path must be text in UTF-8. Received: {shown(str(path))}") from None


def require_folder(option: str, folder: Path | None) -> None:
    """Refuse a path where no folder can be made or written.

    Raises:
        UserError: if a file or a link to nothing is there or above it, or if this user may not
            write there.
    """
    from pipeline.errors import UserError

    if folder is None:
        return
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
    """Refuse to write into a folder of pictures, where output would count as pictures.

    Raises:
        UserError: if `out` is that folder, or lies in it.
    """
    from pipeline.errors import UserError

    pictures = Path(source).expanduser().resolve()
    if out is not None and pictures.is_dir() and out.resolve().is_relative_to(pictures):
        raise UserError(
            f"output must be outside the folder of pictures. Received: {out}, which is in {source}"
        )


def require_new(out: Path) -> None:
    """Refuse an existing folder.

    Raises:
        UserError: if it exists.
    """
    from pipeline.errors import UserError

    if out.exists():
        raise UserError(f"`--out` must be a new folder. Received: {out}, which exists")


def terminal(*, quiet: bool = False) -> Console:
    """Make the console for progress and results, which prints text without markup."""
    from rich.console import Console

    from pipeline.cli.lasting_stream import LastingStream

    # No markup: brackets in file names and users' text must print as they are.
    output = cast("IO[str]", LastingStream())
    return Console(file=output, quiet=quiet, markup=False, highlight=False)
