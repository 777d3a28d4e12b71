"""The table of results in docs/results.md: presets trained, evaluated and drawn, one after another.

    python tests/benchmarks/results.py OUT --mnist mnist/ --eurosat eurosat.zip [--docs docs]

Everything is done by the commands that a user would give, which are printed. What is done already
in OUT is not done again, so an interrupted table goes on. Each preset is scored on the features of
a classifier that is trained here on the same pictures; `perfect` is what a perfect generator would
score, by the halves of the real images. Without a data set its rows are left out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from taking_turns import processor

from pipeline.data.prepare import records_for
from pipeline.evaluation.features import FeatureNetwork, open_features
from pipeline.evaluation.references import REFERENCES, references_for
from pipeline.evaluation.scores import Evaluation, score_history
from pipeline.evaluation.statistics.frechet import fid_of, moments
from pipeline.evaluation.statistics.kernel import kernel_distance
from pipeline.evaluation.statistics.neighbours import neighbourhood_scores
from pipeline.training.loop.checkpoints import all_in
from pipeline.training_run.folder import RunFolder

HEADER = """| Preset | Data | Images seen | Time | FID | KID · 10³ | Precision | Recall |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""
BEGIN, END = "<!-- table by tests/benchmarks/results.py -->\n", "<!-- end of the table -->\n"
SEEDS = "0-63"


@dataclass(frozen=True)
class Row:
    """A preset on its data.

    Args:
        preset: Trained as it stands.
        data: Name in the table.
        source: As `--data` takes it.
        classifier: Options of `growgan features train`.
        kept: Images between two checkpoints that get a line each, beside the last.
    """

    preset: str
    data: str
    source: str
    classifier: tuple[str, ...]
    kept: int


def rows_of(options: argparse.Namespace) -> Iterator[Row]:
    """The presets whose data are at hand."""
    digits = ("--channels", "1", "--resolution", "16")
    yield Row("quickstart", "digits", "digits", digits, 10_000)
    if options.mnist:
        grey = ("--channels", "1", "--crop", "pad")
        for preset in ("progan-mnist32", "stylegan2-mnist32"):
            yield Row(preset, "MNIST", str(options.mnist), grey, 100_000)
    if options.eurosat:
        colour = ("--channels", "3", "--resolution", "64")
        yield Row("stylegan-eurosat64", "EuroSAT", str(options.eurosat), colour, 100_000)


def growgan(*arguments: str | Path) -> None:
    """Run the command, and show it."""
    words = [str(argument) for argument in arguments]
    print("$ growgan", *words, flush=True)
    subprocess.run([sys.executable, "-m", "pipeline.cli", *words], check=True)


def lines_of(row: Row, out: Path) -> Iterator[str]:
    """Train, evaluate, draw: the lines of a preset."""
    classifier, run = out / "features" / row.data, out / "runs" / row.preset
    records = out / "records"
    if not classifier.exists():
        growgan("features", "train", "--data", row.source, *row.classifier,
                "--records", records, "--out", classifier)  # fmt: skip
    growgan("train", "--config", row.preset, "--data", row.source, "--out", run, "--resume", "auto",
            "--set", f"data.records={records}",
            "--set", f"run.keep_every_images={row.kept}")  # fmt: skip
    folder, network = RunFolder(run), open_features(f"classifier:{classifier}")
    for images_seen in images_at_checkpoints(folder, row.kept):
        if images_seen not in evaluated(folder, network):
            growgan("evaluate", run, "--features", f"classifier:{classifier}",
                    "--checkpoint", str(images_seen))  # fmt: skip
        yield line_of(row, evaluated(folder, network)[images_seen])
    growgan("generate", run, "--seeds", SEEDS, "--out", out / f"{row.preset}.png")


def evaluated(run: RunFolder, network: FeatureNetwork) -> dict[int, Evaluation]:
    """What was measured on these features, by images seen."""
    return {
        each.images_seen: each
        for each in score_history(run)
        if each.features and each.features.matches(network.identity)
    }


def images_at_checkpoints(run: RunFolder, kept: int) -> list[int]:
    """Return the images seen at the checkpoints that are kept for ever, and at the last one."""
    saved = [checkpoint.position.images_seen for checkpoint in all_in(run.path)]
    firsts = {n // kept: n for n in sorted(saved, reverse=True) if n >= kept}
    return sorted({*firsts.values(), max(saved)})


def line_of(row: Row, evaluation: Evaluation) -> str:
    """A checkpoint's line."""
    values = {score.name: score for score in evaluation.scores}
    fid, kid = values["fid"], values["kid"]
    cells = (
        f"`{row.preset}`",
        row.data,
        f"{evaluation.images_seen:,}",
        f"{evaluation.seconds / 60:.1f} min",
        f"{fid.value:.3g} ({fid.low:.3g} to {fid.high:.3g})",
        thousandths(kid.value),
        f"{values['precision'].value:.2f}",
        f"{values['recall'].value:.2f}",
    )
    return f"| {' | '.join(cells)} |\n"


def thousandths(value: float) -> str:
    """Times 10³, with three digits or all before the point."""
    return f"{value * 1e3:,.0f}" if abs(value) >= 0.1 else f"{value * 1e3:.3g}"


def perfect_fid(of_halves: float, reals: int, fakes: int) -> float:
    """FID of so many fresh draws to all reals, from that of a half of the reals to the other half.

    Of draws from one distribution it is `c (1/n + 1/m)` for n against m: the bias of their moments.
    """
    return of_halves * reals / 4 * (1 / fakes + 1 / reals)


def perfect_of(row: Row, out: Path) -> str:
    """What a perfect generator would score, by every second real image against the others."""
    network = open_features(f"classifier:{out / 'features' / row.data}")
    config = RunFolder(out / "runs" / row.preset).config()
    records = records_for(config.data, config.schedule.build().resolutions)
    resolution = config.schedule.resolution
    references = references_for(records, resolution, network, records.folder.parent / REFERENCES)
    vectors = references.features.vectors
    order = np.random.default_rng(0).permutation(len(vectors))
    one, other = (vectors[order[start::2]] for start in (0, 1))
    of_halves = fid_of(moments([one]), moments([other]))
    fid = perfect_fid(of_halves, len(vectors), config.evaluation.images)
    kid = kernel_distance(one, other, seed=0).value
    near = neighbourhood_scores(one, other, seed=0)
    cells = (
        "perfect",
        row.data,
        "",
        "",
        f"{fid:.3g}",
        thousandths(kid),
        f"{near.precision.value:.2f}",
        f"{near.recall.value:.2f}",
    )
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    """Print the table, write it into OUT, and into the docs if they are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--mnist", type=Path, help="folder of idx files")
    parser.add_argument("--eurosat", type=Path, help="folder or zip of RGB tiles")
    parser.add_argument("--docs", type=Path, help="folder whose results.md gets the table")
    options = parser.parse_args()
    table = HEADER
    for _, rows in groupby(rows_of(options), key=lambda row: row.data):
        for row in rows:
            table += "".join(lines_of(row, options.out))
        table += perfect_of(row, options.out)
    table += f"\n{processor()}\n"
    (options.out / "results.md").write_text(table)
    if options.docs:
        page = options.docs / "results.md"
        text = page.read_text()
        before, rest = text.split(BEGIN)
        _, after = rest.split(END)
        page.write_text(before + BEGIN + table + END + after)
    print(table)


if __name__ == "__main__":
    main()
