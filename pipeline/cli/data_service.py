"""Command `growgan data serve`: decode batches for runs on other machines."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from pipeline.cli.console import say, terminal
from pipeline.cli.options import load_tensorflow

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ngrowgan data serve --address cpu1:5001\n\n"
    "growgan train … --set data.servers=[cpu1:5001,cpu2:5001]"
)
def serve(
    address: Annotated[
        str, typer.Option(help="Address of this machine for runs, HOST:PORT; uses PORT + 1 too.")
    ],
) -> None:
    """Read and decode for runs on other machines, until stopped.

    Batches are the same as without a server. The prepared set must have the same path here.
    """
    load_tensorflow()
    from pipeline.data.service import serving

    with serving(address):
        say(terminal(), f"serving on {address}")
        # Ctrl-C ends it at once: there is nothing to save, and a clean stop takes a while.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pause()
