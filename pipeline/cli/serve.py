"""Command `growgan serve`: run a local server with TensorFlow Serving's APIs."""

from __future__ import annotations

import logging
import os
import signal
import ssl
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline import exit_status
from pipeline.cli.console import say, terminal
from pipeline.cli.interruption import stop_signals
from pipeline.cli.next_commands import quote
from pipeline.cli.options import load_tensorflow, needs_extra, user_errors
from pipeline.errors import UserError
from savedmodels.access import TOKEN_VARIABLE
from savedmodels.server.codes import Refused
from savedmodels.server.ports import require_free

app = typer.Typer()
MAX_SECONDS = 86_400  # Maximum of every time option.
MAX_THREADS = 4096


@app.command(
    epilog="Examples:\n\ngrowgan serve runs/first/savedmodels\n\n"
    "curl localhost:8501/v1/models/32x32"
)
def serve(
    repository: Annotated[
        Path,
        typer.Argument(help="Folder of models, or of one model's versions.", show_default=False),
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            "--model-config-file",
            exists=True,
            help="File models.config with models, version policies and labels; changes are applied."
            " (default: models.config in REPOSITORY, or else the latest version of every model)",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for gRPC; 0 picks a free one.")
    ] = 8500,
    rest_api_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for REST; 0 picks a free one.")
    ] = 8501,
    poll_seconds: Annotated[
        float,
        typer.Option(
            "--file-system-poll-wait-seconds",
            min=0,
            max=MAX_SECONDS,
            help="Seconds between scans for new versions; 0 scans only once, at the start.",
        ),
    ] = 1.0,
    enable_batching: Annotated[
        bool,
        typer.Option(
            "--enable-batching", help="Batch samples of several requests into one run of the model."
        ),
    ] = False,
    batching_parameters_file: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            help="File with sizes, times and threads in TensorFlow Serving's format. Needs"
            " --enable-batching. (default: TensorFlow Serving's values)",
        ),
    ] = None,
    enable_model_warmup: Annotated[
        bool, typer.Option(help="Run a version's warm-up requests before it becomes available.")
    ] = True,
    tensorflow_intra_op_parallelism: Annotated[
        int,
        typer.Option(
            min=0, max=MAX_THREADS, help="Threads within an operation; 0 for one per processor."
        ),
    ] = 0,
    tensorflow_inter_op_parallelism: Annotated[
        int,
        typer.Option(
            min=0, max=MAX_THREADS, help="Threads across operations; 0 for one per processor."
        ),
    ] = 0,
    max_samples: Annotated[
        int, typer.Option(min=1, help="Maximum number of samples in a request.")
    ] = 1024,
    max_request_bytes: Annotated[int, typer.Option(min=1, help="Maximum bytes in a request.")] = 16
    * 2**20,
    max_requests: Annotated[
        int, typer.Option(min=1, help="Maximum number of requests at once, for REST and gRPC each.")
    ] = 64,
    rest_api_timeout_in_ms: Annotated[
        int,
        typer.Option(
            min=1,
            max=1000 * MAX_SECONDS,
            help="Milliseconds that a REST request, or one run of a model, may take.",
        ),
    ] = 30_000,
    grace_seconds: Annotated[
        float,
        typer.Option(min=0, max=MAX_SECONDS, help="Seconds to finish running requests at SIGTERM."),
    ] = 30.0,
    allow_version_labels_for_unavailable_models: Annotated[
        bool,
        typer.Option(
            "--allow-version-labels-for-unavailable-models",
            help="Allow a new label for a version that is not loaded yet.",
        ),
    ] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help=f"File with the API token to require. (default: ${TOKEN_VARIABLE}, or none)"
        ),
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(exists=True, help="PEM file of the certificate; needs --tls-key.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(exists=True, help="PEM file of the key; needs --tls-certificate.")
    ] = None,
) -> None:
    """Serve SavedModels on this machine over REST and gRPC, like TensorFlow Serving.

    For development, tests and small deployments. Use TensorFlow Serving itself in production, with
    the same repository, models.config and requests.
    """
    if not repository.is_dir():
        raise UserError(f"`REPOSITORY` must be a folder. Received: {repository}")
    if (tls_certificate is None) != (tls_key is None):
        raise UserError("`--tls-certificate` and `--tls-key` must be given together")
    if tls_certificate and tls_key:
        _require_pair(tls_certificate, tls_key)
    if batching_parameters_file is not None and not enable_batching:
        raise UserError("`--batching-parameters-file` must come with `--enable-batching`")
    serves, stopped = threading.Event(), threading.Event()

    def stop(number: int, _: Any) -> None:
        # Exit at once before serving has begun, and on a second signal.
        if stopped.is_set() or not serves.is_set():
            os._exit(exit_status.of_signal(number))
        stopped.set()

    for number in stop_signals():
        signal.signal(number, stop)
    token = _token(token_file)
    with user_errors(Refused):
        # Check ports before TensorFlow, which takes seconds to load.
        require_free(host, port, rest_api_port)
    load_tensorflow()
    # Silence gRPC's own log; we report failures ourselves.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    with needs_extra("`growgan serve`", "serve"):
        from savedmodels.server import batching_file
        from savedmodels.server.options import Certificate, Limits, Options
        from savedmodels.server.serving import serving
    batching = None
    if enable_batching:
        file = batching_parameters_file
        # Replace bytes that are not UTF-8; the parser then reports their position.
        text = file.read_text(errors="replace") if file else ""
        with user_errors(Refused):
            batching = batching_file.read(text)
    options = Options(
        host=host,
        grpc_port=port,
        rest_port=rest_api_port,
        config=config,
        poll_seconds=poll_seconds,
        grace_seconds=grace_seconds,
        limits=Limits(max_request_bytes, max_samples, max_requests, rest_api_timeout_in_ms / 1000),
        batching=batching,
        labels_may_wait=allow_version_labels_for_unavailable_models,
        warming=enable_model_warmup,
        intra_op_threads=tensorflow_intra_op_parallelism,
        inter_op_threads=tensorflow_inter_op_parallelism,
        token=token,
        tls=Certificate(tls_certificate, tls_key) if tls_certificate and tls_key else None,
    )
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with user_errors(Refused), serving(repository, options) as ports:
        serves.set()
        where = f"REST at {host}:{ports.rest}, gRPC at {host}:{ports.grpc}"
        say(terminal(), f"serving {repository}: {where}")
        # Wait with a timeout, so that Python can handle signals in between.
        while not stopped.wait(0.5):
            pass
    # Exit without joining threads: one may still run a model after the grace period.
    sys.stdout.flush()
    os._exit(0)


def _require_pair(certificate: Path, key: Path) -> None:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise UserError(
            "`--tls-certificate` and `--tls-key` must be a certificate and its key as PEM files. "
            f"Received: {certificate} and {key} ({error.reason or error})"
        ) from error


def _token(file: Path | None) -> str | None:
    try:
        token = file.read_text() if file else os.environ.get(TOKEN_VARIABLE)
    except UnicodeDecodeError:
        raise UserError(f"the API token must be text. Received: {file}") from None
    if file and file.stat().st_mode & 0o077:
        typer.echo(f"others can read the API token: chmod 600 {quote(str(file))}", err=True)
    token = token and token.strip()  # Editors end files with a newline.
    if token is not None and not token:
        given = file or f"${TOKEN_VARIABLE}"
        raise UserError(f"the API token must not be empty. Received: {given}")
    return token
