"""Command `growgan evaluate`: measure scores of a run, and write them with a report."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.console import progress, say, terminal
from pipeline.cli.interruption import Interruption
from pipeline.cli.options import Checkpoint, Overrides, Run, load_tensorflow

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ngrowgan evaluate runs/mnist --features classifier:features/mnist\n\n"
    "growgan evaluate runs/mnist --features lenet:lenet_mnist.npz --metrics fid,kid "
    "--num-images 50000\n\n"
    "growgan evaluate runs/faces --features inception:classify_image_graph_def.pb"
)
def evaluate(
    run: Run,
    checkpoint: Checkpoint = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="Feature network: inception:FILE, keras:NAME[:WEIGHTS], classifier:FOLDER or "
            "lenet:FILE. (default: `evaluation.features` of the run)"
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            help="Metrics, such as fid,kid,precision_recall. (default: all that are possible, "
            "except path_length)",
        ),
    ] = None,
    num_images: Annotated[
        int | None, typer.Option(help="Number of images to generate. (default: 10,000)")
    ] = None,
    noise: Annotated[
        Literal["constant", "random"] | None,
        typer.Option(
            help="Noise in generators with styles: `constant` uses the exported maps for all "
            "images; `random` draws by seed, as published scores do. (default: constant)"
        ),
    ] = None,
    elsewhere: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Measure on the pictures of `--set data.source=…` instead of the run's; write the "
            "scores to this file, and nothing into the run.",
        ),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Measure a checkpoint of a run, and write its scores, pictures and report.

    Scores depend only on checkpoint, data and options: repeating the command gives the same scores.
    """
    Interruption()
    from pipeline.evaluation.settings import settings_for
    from pipeline.training_run.folder import RunFolder

    names = None if metrics is None else [name.strip() for name in metrics.split(",")]
    given = {
        "evaluation.features": features,
        "evaluation.metrics": names and [name for name in names if name],
        "evaluation.images": num_images,
        "evaluation.noise": noise,
    }
    folder = RunFolder(run)
    chosen = [(key, value) for key, value in given.items() if value is not None]
    # Append options after `--set`: later overrides win.
    settings = settings_for(folder, [*(overrides or []), *chosen])
    saved = folder.newest_checkpoint() if checkpoint is None else folder.checkpoint(checkpoint)
    load_tensorflow()
    from pipeline.cli.score_tables import show_scores
    from pipeline.data.prepare import records_for
    from pipeline.evaluation.evaluate import evaluate as evaluate_run
    from pipeline.evaluation.evaluate import measure, plan_evaluation
    from pipeline.evaluation.events import write_events
    from pipeline.evaluation.report import write_report
    from pipeline.evaluation.scores import score_history, write_evaluation

    console = terminal()
    schedule = settings.schedule
    with progress(console, "preparing images") as report:
        records = records_for(
            settings.data, schedule.build().resolutions, report, width=schedule.width
        )
    plan = plan_evaluation(
        folder,
        records,
        settings.evaluation,
        images_seen=saved.position.images_seen,
        elsewhere=elsewhere is not None,
    )
    stage = partial(progress, console)
    if elsewhere is not None:
        evaluation = measure(folder, plan, stage)
        show_scores(console, evaluation)
        write_evaluation(elsewhere, evaluation)
        say(console, f"written: {elsewhere}")
        return
    with folder.alone("evaluated"):
        score_history(folder)  # Fail on damaged earlier scores now, not after a long evaluation.
        evaluation = evaluate_run(folder, plan, stage)
        show_scores(console, evaluation)
        written = write_report(folder, evaluation)
        write_events(folder, score_history(folder))
    say(console, f"written: {written}")
