"""`growgan data dispatch` and `growgan data decode`: machines that make a run's batches."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import load_tensorflow, terminal

app = typer.Typer()


@app.command(
    epilog="Example: growgan data dispatch --port 5000 --workers cpu1:5001,cpu2:5001  |  then "
    "growgan train … --set data.service=grpc://HOST:5000 --set data.service_workers=2"
)
def dispatch(
    workers: Annotated[str, typer.Option(help="Every worker as host:port, separated by commas.")],
    port: Annotated[int, typer.Option(help="On which runs and workers find it.")] = 5000,
) -> None:
    """Start the dispatcher of a tf.data service, until it is stopped.

    With such a service, other machines read and decode; a run sees the same batches as without.
    """
    load_tensorflow()
    from pipeline.data.service import dispatcher

    server = dispatcher(port, [address.strip() for address in workers.split(",")])
    terminal().print(f"dispatcher on port {server.target.rpartition(':')[2]}", highlight=False)
    server.join()


@app.command(epilog="Example: growgan data decode --address cpu1:5001 --dispatcher head:5000")
def decode(
    address: Annotated[str, typer.Option(help="Its own host:port, as the dispatcher was told.")],
    dispatcher: Annotated[str, typer.Option(help="The dispatcher's host:port.")],
) -> None:
    """Start a worker of a tf.data service, until it is stopped; it must see the prepared set."""
    load_tensorflow()
    from pipeline.data.service import worker

    server = worker(address, dispatcher)
    terminal().print(f"worker {address} of {dispatcher}", highlight=False)
    server.join()
