"""Steps from the sources to the records: report the snapshot, check the pictures, prepare them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.data.checking.contract import (
    MAX_CLASS_SHARES_SHIFT,
    MAX_COLOUR_SHIFT,
    MAX_FEATURES_SHIFT,
)
from pipeline.data.checking.report import REPORT, Survey, read_report
from pipeline.errors import UserError
from pipeline.loading import is_chosen
from pipeline.orchestration.commands import Log
from pipeline.orchestration.plan import Plan
from pipeline.orchestration.runs.failure import StepFailed
from pipeline.orchestration.runs.outcome import history_of
from pipeline.orchestration.snapshots import PICTURES, kept_snapshot
from pipeline.orchestration.steps.step import Done, StepCheck, run_growgan, write_config
from savedmodels import atomic

SHEET = "contact-sheet.png"
LISTED = 5  # Maximum number of corrupt pictures to name in the reason of a failure.


def source_snapshot(plan: Plan, log: Log) -> Done:
    """Report the snapshot that was taken when the run was planned."""
    snapshot, folder = plan.snapshot, plan.project.snapshots / plan.snapshot.key
    if snapshot.files and not (folder / PICTURES).exists():
        raise UserError(f"a snapshot must hold its pictures. Received: {folder}, without them")
    return Done(
        {
            "content hash": snapshot.content_hash,
            "pictures": snapshot.images,
            "configuration": plan.project.config.preset,
        },
        new=all(
            outcome.snapshot is None or outcome.snapshot.content_hash != snapshot.content_hash
            for outcome in history_of(plan.project.path)
        ),
        files={"snapshot": folder},
    )


def checked_data(plan: Plan, log: Log, former: int | None) -> Done:
    """Check the pictures by the contract, and compare them with those behind the version `former`.

    Raises:
        StepFailed: if they break a rule, are in colour for a grey preset, or none can be read.
    """
    contract, rules = plan.project.contract, plan.project.contract_text
    folder = plan.check_folder(rules)
    new = not (folder / REPORT).exists() or not (folder / SHEET).exists()
    if new:
        promoted = _plan_behind(plan, former)
        against = None if promoted is None else report_of(promoted)
        options = ["--contract", str(contract)] if rules else []
        if contract is not None and not rules:
            options += ["--write-contract", str(contract)]
        if against is not None:
            options += ["--against", str(against)]
        run_growgan(
            plan, log, "data", "check", plan.snapshot.source, "--out", str(folder), *options
        )
        if contract is not None and not rules:
            # Use this report for the new contract: its rules were just derived from these pictures.
            written = plan.check_folder(plan.project.contract_text)
            if not written.exists():
                folder.rename(written)
                atomic.sync(written.parent)
            folder = written
    survey = read_report(folder)
    given = plan.project.config
    chosen = is_chosen(given.preset, given.overrides, "data.channels")
    # Fail, because a preset for grey pictures would silently drop their colours.
    if plan.config.data.channels == 1 and survey.colours.grey_share < 0.5 and not chosen:
        raise StepFailed(
            f"the pictures are in colour, and {given.preset} is for grey ones: add "
            "`data.channels=3` to `overrides`, or `data.channels=1` to have them grey"
        )
    if survey.broken_rules:
        corrupt = [f"{name} ({reason})" for name, reason in survey.corrupt[:LISTED]]
        also = f"; corrupt are {', '.join(corrupt)}" if corrupt else ""
        raise StepFailed(f"the pictures break {contract}: {'; '.join(survey.broken_rules)}{also}")
    return Done(
        {
            "readable": survey.readable,
            "corrupt": len(survey.corrupt),
            "classes": len(survey.classes),
        },
        new,
        pictures=(folder / SHEET,),
        files={"report": folder / REPORT},
        checks={"data_shift": shift_check(survey)},
    )


def records(plan: Plan, log: Log) -> Done:
    """Prepare the pictures as records for training.

    Raises:
        StepFailed: if a picture is corrupt and `data.on_corrupt` is `fail`, or the disk is full.
    """
    new, data = not plan.records.exists(), plan.config.data
    # `data.on_corrupt` does not change the folder's name: if records made with `skip` lack corrupt
    # pictures, run the command again, which fails for them with `fail`.
    if new or (data.on_corrupt == "fail" and _manifest(plan)["skipped"]):
        places = (plan.snapshot.source, str(plan.records))
        words = ["--config", str(write_config(plan))]
        if plan.project.config.training.beam is not None:
            words += ["--beam", plan.project.config.training.beam]
        run_growgan(plan, log, "data", "prepare", *places, *words)
    manifest = _manifest(plan)
    return Done(
        {
            "data hash": manifest["data_hash"],
            "skipped": len(manifest["skipped"]),
            "resolutions": ", ".join(map(str, manifest["resolutions"])),
        },
        new,
        files={"records": plan.records},
    )


def report_of(plan: Plan) -> Path | None:
    """Find the report on a plan's pictures, None if they were not checked yet."""
    report = plan.check_folder(plan.project.contract_text) / REPORT
    return report if report.exists() else None


def shift_check(survey: Survey) -> StepCheck:
    """Check that new pictures differ from the promoted model's by no more than is usual."""
    moved = survey.shift
    if moved is None:
        return StepCheck(True, "there are no earlier pictures to compare with")
    # Add what two random samples of one set differ by.
    bound = MAX_FEATURES_SHIFT + 2 * moved.features_by_chance
    passed = (
        moved.features <= bound
        and moved.largest_colour <= MAX_COLOUR_SHIFT
        and moved.class_shares <= MAX_CLASS_SHARES_SHIFT
    )
    return StepCheck(
        passed,
        f"features moved by {moved.features:.3g} spreads, colours by {moved.largest_colour:.3g} "
        f"deviations, classes by {moved.class_shares:.3g}; at most {bound:.3g}, "
        f"{MAX_COLOUR_SHIFT:g} and {MAX_CLASS_SHARES_SHIFT:g} are usual",
    )


def _plan_behind(plan: Plan, version: int | None) -> Plan | None:
    """Rebuild the plan behind a version from its snapshot, None if that was removed."""
    project = plan.project
    snapshots = (
        kept_snapshot(project, outcome.snapshot.content_hash)
        for outcome in reversed(history_of(project.path))
        if (outcome.model, outcome.version) == (project.config.model, version) and outcome.snapshot
    )
    snapshot = None if version is None else next(filter(None, snapshots), None)
    return Plan(project, snapshot) if snapshot else None


def _manifest(plan: Plan) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((plan.records / "manifest.json").read_text())
    return manifest
