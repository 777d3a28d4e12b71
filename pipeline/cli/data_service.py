"""`growgan data serve`: a machine that makes a run's batches."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from pipeline.cli.options import load_tensorflow, terminal
from pipeline.cli.tables import say

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ngrowgan data serve --address cpu1:5001\n\n"
    "growgan train … --set data.servers=[cpu1:5001,cpu2:5001]"
)
def serve(
    address: Annotated[
        str, typer.Option(help="This machine as runs know it, host:port; the next port is used too")
    ],
) -> None:
    """Read and decode for runs on other machines, until stopped.

    A run sees the same batches as without. The prepared set must be under the same path here.
    """
    load_tensorflow()
    from pipeline.data.service import serving

    with serving(address):
        say(terminal(), f"serving on {address}")
        # Ctrl-C ends it at once: it holds nothing, and stopping in good order takes a while.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pause()
