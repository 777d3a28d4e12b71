"""Command `growgan verify`: test that a SavedModel loads and answers as at its export."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline import exit_status
from pipeline.cli.console import fail, progress, say, terminal
from pipeline.cli.interruption import Interruption
from pipeline.cli.options import Json, load_tensorflow, user_errors
from pipeline.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from savedmodels.verification import Verification, VerifiedSignature

app = typer.Typer()


@app.command(epilog="Example: growgan verify runs/first/savedmodels/32x32/60000")
def verify(
    savedmodel: Annotated[
        Path, typer.Argument(help="Folder of a SavedModel, such as a version.", show_default=False)
    ],
    runs: Annotated[
        int, typer.Option(min=1, help="Runs of each signature to measure its latency.")
    ] = 30,
    without_golden: Annotated[
        bool,
        typer.Option(
            "--without-golden",
            help="Accept a SavedModel without golden requests: load it, but compare no answers.",
        ),
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(
            min=1, max=86_400, metavar="SECONDS", help="Time limit for each of the three loaders."
        ),
    ] = 600.0,
    json: Json = False,
) -> None:
    """Load a SavedModel in clean processes, and compare its answers with recorded ones.

    Answers were recorded at the export, as golden requests. Each of three loaders gets a process:
    tf.saved_model.load, TensorFlow 1's session loader, and the C API, as TensorFlow Serving uses.
    Exit status 0 if all pass, 2 if one is incomplete or lacks golden requests, 5 if one fails.
    """
    console = terminal(quiet=json)
    verification = run_verification(
        console,
        savedmodel,
        runs=runs,
        without_golden=without_golden,
        timeout=timeout,
        otherwise="--without-golden to load it without comparing answers",
    )
    if json:
        typer.echo(verification.as_json())
    else:
        _show(console, verification)
    if not verification.passed:
        fail(
            "a SavedModel must answer as at its export, by every loader. "
            f"Received: {savedmodel}, which fails: {verification.reason}",
            exit_status.VERIFY,
        )


def run_verification(
    console: Console, savedmodel: Path, *, otherwise: str, **options: Any
) -> Verification:
    """Verify a SavedModel, and show progress.

    Args:
        console: Console to write to.
        savedmodel: Folder of the SavedModel.
        otherwise: Option to suggest for models without golden requests.
        options: Options of `savedmodels.verify.verify`.
    """
    from savedmodels.whole import Unverifiable, graph_in

    with user_errors(Unverifiable):
        graph_in(savedmodel)  # Fail at once on a wrong path: this needs no TensorFlow.
        Interruption()  # Make SIGTERM end the child process of a loader.
        load_tensorflow()
        from savedmodels.verify import NothingRecorded
        from savedmodels.verify import verify as verify_model

        try:
            with progress(console, f"verifying {savedmodel}") as report:
                return verify_model(savedmodel, on_loader=report, **options)
        except NothingRecorded as error:
            raise UserError(f"{error}: export it again, or pass {otherwise}") from error


def _show(console: Console, verification: Verification) -> None:
    line = partial(say, console)
    size = verification.size_bytes / 2**20
    line(f"size: {size:.2f} MiB on disk, written by TensorFlow {verification.tensorflow}")
    operations = verification.operations
    counts = ", ".join(f"{name} {count}" for name, count in operations.items())
    line(f"operations: {sum(operations.values())} of {len(operations)} kinds: {counts}")
    for name, signature in verification.signatures.items():
        line(f"{name}: {_format_signature(signature)}")
    for loading in verification.loadings:
        memory = loading.resident_bytes / 2**20
        line(f"{loading.loader}: loaded in {loading.seconds:.2f} s, {memory:.0f} MiB resident")
    for name, latency in verification.latencies.items():
        median, p99 = 1000 * latency.median_seconds, 1000 * latency.p99_seconds
        line(f"{name}: median {median:.2f} ms, p99 {p99:.2f} ms in {latency.runs} runs")
    for failure in verification.failures:
        line(f"FAIL  {failure}")
    line(f"verify: {verification.savedmodel} {verification.verdict}")


def _format_signature(signature: VerifiedSignature) -> str:
    sides = (signature.inputs, signature.outputs)
    return " → ".join(
        ", ".join(f"{name} {tensor}" for name, tensor in side.items()) for side in sides
    )
