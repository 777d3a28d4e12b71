"""Command `growgan export`: the EMA generator of a run as a SavedModel or another format."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.cli.console import say, terminal
from pipeline.cli.interruption import Interruption
from pipeline.cli.options import Checkpoint, Run, load_tensorflow, needs_extra, require_folder
from pipeline.errors import UserError
from savedmodels.exportable import DEFAULT_LIMIT, EXAMPLES, MAX_LIMIT

if TYPE_CHECKING:
    from savedmodels.exportable import Exportable

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ngrowgan export runs/first\n\n"
    "growgan export runs/first --discriminator --out models/scored\n\n"
    "growgan export runs/first --checkpoint 112000 --format onnx --out first.onnx"
)
def export(
    run: Run,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the model, for SavedModels, or file to write. (default: in the run)"
        ),
    ] = None,
    form: Annotated[
        Literal["savedmodel", "keras", "onnx", "tflite"],
        typer.Option(
            "--format",
            help="A SavedModel has all signatures; other formats only generate images. Keras "
            "files load after `import layers`.",
        ),
    ] = "savedmodel",
    checkpoint: Checkpoint = None,
    signatures: Annotated[
        str | None, typer.Option(help="Signatures, such as generate_png,styles. (default: all)")
    ] = None,
    discriminator: Annotated[
        bool, typer.Option("--discriminator", help="Add the signature `discriminate`.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=EXAMPLES,
            max=MAX_LIMIT,
            help=f"Maximum number of rows (images) per request. (default: {DEFAULT_LIMIT})",
        ),
    ] = None,
) -> None:
    """Write the EMA generator of a run as a SavedModel; an existing version is kept.

    With --format, write one file for another framework, and its lineage beside it.
    """
    if form != "savedmodel" and (signatures is not None or discriminator or limit is not None):
        raise UserError(
            "`--signatures`, `--discriminator` and `--limit` need `--format savedmodel`. "
            f"Received: --format {form}"
        )
    require_folder("--out", out if out is None or form == "savedmodel" else out.parent)
    Interruption()  # Make SIGTERM clean up; it would leave half an export.
    from pipeline.training_run.folder import RunFolder

    folder = RunFolder(run)
    saved = folder.newest_checkpoint() if checkpoint is None else folder.checkpoint(checkpoint)
    if form != "savedmodel" and out is not None and out.suffix != f".{form}":
        raise UserError(f"`--out` must end in .{form} with `--format {form}`. Received: {out}")
    load_tensorflow()
    position = saved.position
    lineage = folder.export_lineage(position.images_seen, position.roll_backs)
    from pipeline.training_run.networks import SavedNetworks

    models = SavedNetworks(folder, saved).exportable(discriminator=discriminator)
    _, height, width, _ = models.sampler.model.output_shape
    size, version = f"{height}x{width}", position.images_seen
    if form == "savedmodel":
        names = None if signatures is None else signatures.split(",")
        limited = models if limit is None else replace(models, limit=limit)
        written = _savedmodel(limited, out or folder.savedmodels / size, version, lineage, names)
        say(terminal(), f"SavedModel: {written}")
    else:
        path = out or folder.exports / f"{size}-{version}.{form}"
        _file(models, path, form, lineage)
        say(terminal(), f"{form}: {path}")


def _savedmodel(
    models: Exportable, base: Path, version: int, lineage: dict[str, Any], names: list[str] | None
) -> Path:
    from savedmodels.export import export as export_model
    from savedmodels.export import manifest_in, manifest_of
    from savedmodels.signatures import signatures_of

    try:
        wanted = manifest_of(models, signatures_of(models, names), lineage)
    except ValueError as error:
        raise UserError(str(error).replace("`names`", "`--signatures`")) from error
    written = export_model(models, base, version, lineage=lineage, names=names)
    found = manifest_in(written)
    # An existing version is kept, so its manifest must be the wanted one.
    # Compare as JSON, which turns tuples into lists.
    differing = [
        name
        for name, value in json.loads(json.dumps(wanted)).items()
        if name != "exported" and found.get(name) != value
    ]
    if differing:
        raise UserError(
            "`--out` must be a folder without this version, because versions never change. "
            f"Received: {written}, whose manifest differs in {', '.join(differing)}"
        )
    return written


def _file(models: Exportable, path: Path, form: str, lineage: dict[str, Any]) -> None:
    from savedmodels.formats import write_model

    try:
        # Only ONNX needs an extra; TensorFlow writes the other formats.
        with needs_extra(f"`--format {form}`", form):
            write_model(models.sampler.model, path, lineage=lineage)
    except OSError as error:
        raise UserError(f"`--out` must be writable. Received: {error}") from error
