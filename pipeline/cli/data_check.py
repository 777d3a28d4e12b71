"""Command `growgan data check`: measure pictures, and check them against a contract."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import progress, terminal
from pipeline.cli.next_commands import join_command, training_command
from pipeline.cli.options import require_folder, require_outside
from pipeline.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.data.checking.report import Survey

app = typer.Typer()

SHEET = "contact-sheet.png"  # Name of the contact sheet in the report folder.


@app.command(
    epilog="Examples:\n\ngrowgan data check photos/\n\n"
    "growgan data check photos.zip --write-contract photos.yaml\n\n"
    "growgan data check new-photos/ --contract photos.yaml --against checks/photos"
)
def check(
    source: Annotated[
        str, typer.Argument(help="Pictures: a folder, zip, or other source of docs/data.md.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report. (default: checks/NAME)")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that read pictures. (default: one per core)"),
    ] = None,
    contract: Annotated[
        Path | None,
        typer.Option(help="Contract (YAML rules) to check; exit status 2 if a rule is broken."),
    ] = None,
    write_contract: Annotated[
        Path | None, typer.Option(help="Write a contract from these pictures, to check later ones.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="Earlier report or pictures; measure the shift from these to SOURCE."),
    ] = None,
) -> None:
    """Measure pictures, suggest settings, and write a report and a contact sheet.

    The pictures are not changed. Exit status 2 if the set breaks its contract, or no picture can be
    read; the report is written in any case.
    """
    from pipeline.cli import check_summary
    from pipeline.data.checking.contact_sheet import contact_sheet, shown_classes
    from pipeline.data.checking.contract_file import read_contract
    from pipeline.data.checking.contract_file import write_contract as write_rules
    from pipeline.data.checking.report import write_check_report
    from pipeline.data.checking.shift import shift
    from pipeline.data.grids import write_png
    from pipeline.data.sources import open_source

    console = terminal()
    require_folder("--out", out or Path("checks"))
    require_outside(out, source)
    # Read both before the long survey, and before an old report is overwritten.
    rules = None if contract is None else read_contract(contract)
    previous = None if against is None else _read_or_survey(console, against, workers)
    survey = _survey(console, source, workers)
    if previous is not None:
        survey = survey.model_copy(update={"shift": shift(previous, survey)})
    if rules is not None:
        reasons = rules[0].broken_by(survey, rules[1])
        survey = survey.model_copy(update={"broken_rules": tuple(reasons)})
    folder = out or Path("checks") / _file_name(survey.source)
    # Write the report before any refusal, so that it lists everything that is wrong.
    report = write_check_report(folder, survey)
    check_summary.show(console, survey, source)
    if not survey.readable:
        raise UserError(
            "a source must hold pictures that can be read. Received: "
            f"{source}, with all {survey.pictures} corrupt, for the reasons in {report}"
        )
    opened = open_source(source)
    # Skip corrupt pictures, which cannot be drawn.
    write_png(folder / SHEET, contact_sheet(opened, {name for name, _ in survey.corrupt}))
    rows = ", ".join(shown_classes(opened))
    written = {"report": str(report), "pictures": str(folder / SHEET)}
    if rows:
        written["pictures"] += f", at random and, row by row, of {rows}"
    if write_contract is not None:
        write_rules(write_contract, survey)
        written["contract"] = str(write_contract)
    check_summary.show_lines(console, "written", written)
    if survey.broken_rules:
        raise UserError(f"{source} breaks {contract}: {'; '.join(survey.broken_rules)}")
    check_summary.show_lines(console, "next", _next_commands(source, survey))


def _read_or_survey(console: Console, against: str, workers: int | None) -> Survey:
    from pipeline.data.checking.report import REPORT, read_report

    path = Path(against)
    if path.suffix == ".json" or (path / REPORT).is_file():
        return read_report(path)
    try:
        return _survey(console, against, workers)
    except UserError as error:
        # Name the option that the user passed instead of the setting.
        raise UserError(str(error).replace("`data.source`", "`--against`")) from error


def _survey(console: Console, source: str, workers: int | None) -> Survey:
    from pipeline.data.checking.survey import survey

    with progress(console, f"reading {source}") as report:
        return survey(source, workers=workers, report=report)


def _next_commands(source: str, survey: Survey) -> dict[str, str]:
    """Make the commands to prepare and train with the suggested settings."""
    suggested = survey.suggestions
    resolution = suggested.resolution.value
    out = f"sets/{_file_name(survey.source)}"
    prepare = ["growgan", "data", "prepare", source, out, "--resolution", str(resolution)]
    if suggested.channels.value == 1:
        prepare += ["--channels", "1"]
    if suggested.crop.value != "center":
        prepare += ["--crop", suggested.crop.value]
    if survey.corrupt:
        prepare += ["--on-corrupt", "skip"]
    advice = {"data.mirror": suggested.mirror, "data.labels": suggested.labels}
    true = [key for key, advised in advice.items() if advised.value]
    train = training_command(out, (resolution, resolution), suggested.channels.value, *true)
    return {"prepare": join_command(prepare), "train": train}


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "pictures"
