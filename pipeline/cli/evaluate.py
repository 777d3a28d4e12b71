"""Command `growgan evaluate`: scores of a run, with their protocol, and a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.interruption import Interruption
from pipeline.cli.options import Overrides, Run, load_tensorflow, terminal
from pipeline.cli.tables import say

app = typer.Typer()


@app.command(
    epilog="Examples:\n\ngrowgan evaluate runs/mnist --features classifier:features/mnist\n\n"
    "growgan evaluate runs/mnist --features lenet:lenet_mnist.npz --metrics fid,kid "
    "--num-images 50000\n\n"
    "growgan evaluate runs/faces --features inception:classify_image_graph_def.pb"
)
def evaluate(
    run: Run,
    checkpoint: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="IMAGES_SEEN",
            help="Measure the checkpoint at this number of images seen. (default: the newest)",
        ),
    ] = None,
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
            help="Noise of generators with styles: the same for all images, as exported, or by "
            "seed, as in published scores. (default: constant)"
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

    Scores depend on checkpoint, data and options only; repeating the command gives the same.
    """
    Interruption()
    from pipeline.errors import UserError
    from pipeline.evaluation.features import require_kind
    from pipeline.loading import differences
    from pipeline.run_folder import RunFolder

    given = {
        "features": features,
        "metrics": None
        if metrics is None
        else [name.strip() for name in metrics.split(",") if name.strip()],
        "images": num_images,
        "noise": noise,
    }
    folder = RunFolder(run)
    settings = folder.config(
        [
            *(overrides or []),
            *((f"evaluation.{key}", value) for key, value in given.items() if value is not None),
        ]
    )
    # Scores would otherwise be filed under a run that was trained differently.
    changed = differences(folder.config(), settings)
    if changed:
        raise UserError(
            "`--set` must not change settings that decide a run's result. "
            f"Received: {'; '.join(changed)}"
        )
    if settings.evaluation.features is not None:
        require_kind(settings.evaluation.features)
    saved = folder.newest_checkpoint() if checkpoint is None else folder.checkpoint(checkpoint)
    load_tensorflow()  # Takes seconds, so it comes after all checks that can do without it.
    from pipeline.cli.score_tables import show_scores
    from pipeline.data.prepare import records_for
    from pipeline.evaluation.evaluate import evaluate as evaluate_run
    from pipeline.evaluation.evaluate import measure, plan_of
    from pipeline.evaluation.events import write_events
    from pipeline.evaluation.report import write_report
    from pipeline.evaluation.scores import history_of, write_evaluation

    with _stage("preparing images") as report:
        records = records_for(
            settings.data,
            settings.schedule.build().resolutions,
            report,
            width=settings.schedule.width,
        )
    plan = plan_of(
        folder,
        records,
        settings.evaluation,
        images_seen=saved.position.images_seen,
        elsewhere=elsewhere is not None,
    )
    console = terminal()
    if elsewhere is not None:
        evaluation = measure(folder, plan, _stage)
        show_scores(console, evaluation)
        write_evaluation(elsewhere, evaluation)
        say(console, f"written: {elsewhere}")
        return
    with folder.alone("evaluated"):
        history_of(folder)  # Fail on damaged earlier scores now, not after a long evaluation.
        evaluation = evaluate_run(folder, plan, _stage)
        show_scores(console, evaluation)
        written = write_report(folder, evaluation)
        write_events(folder, history_of(folder))
    say(console, f"written: {written}")


@contextmanager
def _stage(title: str) -> Iterator[Callable[[int, int], None]]:
    from pipeline.cli.progress import reporter

    progress, report = reporter(terminal(), title)
    with progress:
        yield report
