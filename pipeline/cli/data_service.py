"""Command `growgan data serve`: read and decode images for runs on other machines."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from pipeline.cli.console import say, terminal
from pipeline.cli.options import load_tensorflow

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ngrowgan data serve --address cpu1:5001\n\n"
    "growgan train … --set data.servers=\\[cpu1:5001,cpu2:5001]"
)
def serve(
    address: Annotated[
        str, typer.Option(help="HOST:PORT at which runs reach this machine; also uses PORT + 1.")
    ],
) -> None:
    """Read and decode images for runs on other machines, until stopped.

    Batches are the same as without a server. The prepared set must have one path on both.
    """
    load_tensorflow()
    from pipeline.data.service import serving

    with serving(address):
        say(terminal(), f"serving on {address}")
        # Let Ctrl-C end the process at once: nothing needs saving, and a clean stop is slow.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pause()
