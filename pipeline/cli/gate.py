"""Command `growgan gate`: decide by its scores whether a run may be promoted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline import exit_status
from pipeline.cli.console import say, terminal
from pipeline.cli.options import Overrides, Run
from pipeline.errors import UserError

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ngrowgan gate runs/first --set gate.max_fid=10\n\n"
    "growgan gate runs/new --promoted runs/first "
    "--set gate.max_fid_increase_over_promoted=0.05"
)
def gate(
    run: Run,
    evaluation: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="IMAGES_SEEN",
            help="Judge the evaluation at this number of images seen. (default: the newest)",
        ),
    ] = None,
    promoted: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE_OR_RUN",
            help="Promoted model to compare with: a scores.json, or a run for its newest scores.",
        ),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Check the scores of a run against the rules in its section `gate`.

    Prints one line per rule, and writes gate.json and the report beside the scores. Exit status 0
    if all rules pass, 4 if one fails.
    """
    from pipeline.cli.score_tables import show_verdict
    from pipeline.evaluation.gate import judge, write_verdict
    from pipeline.evaluation.report import write_report
    from pipeline.evaluation.scores import evaluation_of, folder_of, read_scores
    from pipeline.training_run.folder import RunFolder

    # Refuse other sections: scores are measured already, so they would have no effect.
    for override in overrides or []:
        if not override.startswith("gate."):
            raise UserError(f"`--set` must be of the section `gate` here. Received: {override}")
    folder = RunFolder(run)
    policy = folder.config(overrides or []).gate
    scores = evaluation_of(folder, evaluation, features=policy.features)
    against = None
    if promoted is not None:
        other = RunFolder(promoted)
        # Only scores with the same features compare.
        same = None if scores.features is None else scores.features.identity
        against = evaluation_of(other, features=same) if other.exists() else read_scores(promoted)
    verdict = judge(scores, policy, against)
    written = write_verdict(folder_of(folder, scores), verdict)
    report = write_report(folder, scores)
    console = terminal()
    show_verdict(console, verdict)
    say(console, f"written: {written}, {report}")
    if not verdict.passed:
        raise typer.Exit(exit_status.GATE)
