"""Options and the console that several commands share."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from rich.console import Console

Preset = Annotated[
    str, typer.Option("--config", "-c", help="A preset, or a YAML file that ends in .yaml.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override one key; may be repeated."),
]
DataSource = Annotated[
    str | None,
    typer.Option("--data", help="A folder or zip of pictures, MNIST idx files, or digits."),
]
Run = Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)]


LEAST_ADDRESSES = 2**32
"""Bytes of addresses that TensorFlow's libraries and threads take, before it computes anything."""


def load_tensorflow(intra_op_threads: int | None = None) -> None:
    """Import TensorFlow without the lines that it writes before any log setting counts.

    Raises:
        UserError: if the process may have too few addresses: TensorFlow would end it by a signal.
    """
    import resource

    from pipeline.errors import UserError

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if 0 <= limit < LEAST_ADDRESSES:
        raise UserError(
            f"the limit of addresses (`ulimit -v`) must be at least {LEAST_ADDRESSES // 1024} KiB "
            f"for TensorFlow. Received: {limit // 1024}"
        )
    standard_error, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        import tensorflow as tf
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nothing)
    # Each phase traces a step of its own, which it takes for a mistake; errors are raised anyway.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if intra_op_threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(intra_op_threads)


def require_text(path: Path) -> None:
    """Refuse a path that TensorFlow cannot take.

    Raises:
        UserError: if it is no text in UTF-8.
    """
    from pipeline.errors import UserError
    from pipeline.errors.shown import shown

    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UserError(f"a path must be text in UTF-8. Received: {shown(str(path))}") from None


def require_folder(option: str, folder: Path | None) -> None:
    """Refuse a place where no folder can be made or written.

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
            fault = "is a link to what is not there"
        elif each.is_dir() and not os.access(each, os.W_OK | os.X_OK):
            fault = "cannot be written by this user"
        if fault is not None:
            raise UserError(f"`{option}` must be a folder. Received: {folder}, and {each} {fault}")
        if each.is_dir():
            return


def require_outside(out: Path | None, source: str) -> None:
    """Refuse to write into a folder of pictures: what is written would be taken for some of them.

    Raises:
        UserError: if `out` is that folder, or lies in it.
    """
    from pipeline.errors import UserError

    pictures = Path(source).expanduser().resolve()
    if out is not None and pictures.is_dir() and out.resolve().is_relative_to(pictures):
        raise UserError(
            f"nothing may be written among the pictures. Received: {out}, which lies in {source}"
        )


def require_new(out: Path) -> None:
    """Refuse a folder to be written that is there.

    Raises:
        UserError: if it is.
    """
    from pipeline.errors import UserError

    if out.exists():
        raise UserError(f"`--out` must be a new folder. Received: {out}, which exists")


def terminal(*, quiet: bool = False) -> Console:
    """The console for progress and results; it takes no text for markup."""
    from rich.console import Console

    from pipeline.cli.lasting_stream import LastingStream

    # Names of files and texts of users hold brackets, which are no markup.
    output = cast("IO[str]", LastingStream())
    return Console(file=output, quiet=quiet, markup=False, highlight=False)
