"""Statistics of features against other libraries: that they agree, and the seconds they take.

    python tests/benchmarks/bench_statistics.py [--images 50000] [--dimensions 2048] [--turns 3]

Libraries are optional; those that are missing are named, with what installs them. All are given the
same random features in float64. Systems run in processes of their own and take turns; ratios are
medians over the turns: 2.0 says that a system takes twice as long as ours. A row holds one
statistic; FID is two moments and a distance, and `FID, intervals` is all that an evaluation makes
of features for FID and FID∞. Neighbours need the square of the images in distances, so they have a
number of images of their own; prdc, which gives all four scores for one number of neighbours, is
timed once, and ours with 3 and 5 of them. No library here has SWD: its test has a plain loop.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg
import scipy.special
from taking_turns import Process, Step, median, processor, ratio, serve, turns_of

from pipeline.evaluation.statistics.frechet import (
    fid_of,
    frechet_estimates,
    moments,
    moments_of_draws,
)
from pipeline.evaluation.statistics.inception_score import inception_score
from pipeline.evaluation.statistics.kernel import SUBSET_SIZE, SUBSETS, kernel_distance
from pipeline.evaluation.statistics.neighbours import neighbourhood_scores

AGREEMENT = 1e-5
AGREEMENT_IMAGES, AGREEMENT_DIMENSIONS = 3000, 256
CLASSES, SPLITS = 1008, 10

OURS = "ours"
PLAIN = "NumPy, SciPy"
FIDELITY = "torch-fidelity"
CLEAN = "clean-fid"
PRDC = "prdc"
MODULES = {FIDELITY: "torch_fidelity", CLEAN: "cleanfid.fid", PRDC: "prdc"}
INSTALL = {
    FIDELITY: "pip install torch==2.13.0 torchvision==0.28.0 torch-fidelity==0.4.0",
    CLEAN: "pip install torch==2.13.0 torchvision==0.28.0 clean-fid==0.1.35",
    PRDC: "pip install prdc==0.2",
}
MOMENTS, DISTANCE, KERNEL, NEIGHBOURS = "moments", "Fréchet distance", "KID", "neighbours"
INTERVALS = "FID, intervals"
SYSTEMS = {
    MOMENTS: (OURS, PLAIN, FIDELITY),
    DISTANCE: (OURS, PLAIN, FIDELITY),
    INTERVALS: (OURS,),
    KERNEL: (OURS, PLAIN, FIDELITY),
    NEIGHBOURS: (OURS, PRDC),
}


def features(images: int, dimensions: int, seed: int) -> np.ndarray:
    """Correlated, far from zero and none below it, as those after a ReLU are."""
    draw = np.random.default_rng(seed)
    common = draw.normal(size=(images, 8)) @ np.random.default_rng(0).normal(size=(8, dimensions))
    found = draw.normal(size=(images, dimensions))
    found += 0.3 * common + 0.5 + 0.05 * seed
    return np.maximum(found, 0.0, out=found)


def plain_moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x.mean(0), np.cov(x, rowvar=False)


def plain_distance(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> Any:
    (mean, covariance), (other_mean, other_covariance) = one, other
    root = scipy.linalg.sqrtm(covariance @ other_covariance)
    return (
        np.square(mean - other_mean).sum() + np.trace(covariance + other_covariance - 2 * root).real
    )


def plain_kernel_distance(fakes: np.ndarray, reals: np.ndarray) -> float:
    draw = np.random.default_rng(0)
    size = min(SUBSET_SIZE, len(fakes), len(reals))

    def kernel(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return (one @ other.T / one.shape[1] + 1) ** 3

    def inner(x: np.ndarray) -> float:
        among = kernel(x, x)
        return (among.sum() - np.trace(among)) / (size * (size - 1))

    values = []
    for _ in range(SUBSETS):
        x, y = (side[draw.choice(len(side), size, replace=False)] for side in (fakes, reals))
        values.append(inner(x) + inner(y) - 2 * kernel(x, y).mean())
    return float(np.mean(values))


def prdc_of(fakes: np.ndarray, reals: np.ndarray, neighbours: int) -> dict[str, float]:
    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):  # it prints
        return compute_prdc(reals, fakes, nearest_k=neighbours)


def our_scores(fakes: np.ndarray, reals: np.ndarray) -> list[float]:
    return [score.value for score in neighbourhood_scores(fakes, reals, seed=0)]


def fidelity_kernel_distance(fakes: Any, reals: Any, subsets: int, size: int) -> float:
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    found = kid_features_to_metric(
        fakes, reals, kid_subsets=subsets, kid_subset_size=size, verbose=False
    )
    return found[KEY_METRIC_KID_MEAN]


def make(system: str, statistic: str, images: int, dimensions: int) -> Step:
    """What is timed."""
    if statistic == DISTANCE:
        images = 2 * dimensions
    x, y = (features(images, dimensions, seed) for seed in (1, 2))
    match statistic, system:
        case "moments", "ours":
            return lambda: moments([x])
        case "moments", "NumPy, SciPy":
            return lambda: plain_moments(x)
        case "Fréchet distance", "ours":
            return partial(fid_of, moments([x]), moments([y]))
        case "Fréchet distance", "NumPy, SciPy":
            return partial(plain_distance, plain_moments(x), plain_moments(y))
        case "FID, intervals", "ours":
            return lambda: frechet_estimates(moments_of_draws(x, seed=0), moments([y]))
        case "KID", "ours":
            return lambda: kernel_distance(x, y, seed=0)
        case "KID", "NumPy, SciPy":
            return lambda: plain_kernel_distance(x, y)
        case "neighbours", "ours":
            return lambda: our_scores(x, y)
        case "neighbours", "prdc":
            return lambda: prdc_of(x, y, 5)
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    one, other = torch.from_numpy(x), torch.from_numpy(y)
    if statistic == MOMENTS:
        return lambda: fid_features_to_statistics(one)
    if statistic == DISTANCE:
        found = [fid_features_to_statistics(side) for side in (one, other)]
        return lambda: fid_statistics_to_metric(*found, verbose=False)
    return lambda: fidelity_kernel_distance(one, other, SUBSETS, min(SUBSET_SIZE, images))


def fidelity_values(x: np.ndarray, y: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    import torch
    from torch_fidelity.metric_fid import (
        KEY_METRIC_FID,
        fid_features_to_statistics,
        fid_statistics_to_metric,
    )
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    one, other = torch.from_numpy(x), torch.from_numpy(y)
    statistics = [fid_features_to_statistics(side) for side in (one, other)]
    precision, recall = calculate_precision_recall_full(one, other)
    # Ours deals images out to splits in a random order: in that order theirs gets them.
    order = np.random.default_rng(0).permutation(len(logits))
    score = isc_features_to_metric(torch.from_numpy(logits[order]), SPLITS, shuffle=False)
    return {
        "FID": fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID],
        "KID": fidelity_kernel_distance(one, other, 1, len(x)),
        "Inception score": score[KEY_METRIC_ISC_MEAN],
        "precision": precision,
        "recall": recall,
    }


def clean_values(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> dict[str, float]:
    from cleanfid.fid import frechet_distance as distance
    from cleanfid.fid import kernel_distance as kernel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # an argument of SciPy's root
        fid = distance(*plain_moments(x), *plain_moments(y))
    return {"FID": float(fid), "KID": kernel(x, y, num_subsets=1, max_subset_size=len(x))}


def prdc_values(x: np.ndarray, y: np.ndarray, _: np.ndarray) -> dict[str, float]:
    """Precision and recall with 3 neighbours, density and coverage with 5."""
    narrow, wide = (prdc_of(x, y, neighbours) for neighbours in (3, 5))
    return {
        "precision": narrow["precision"],
        "recall": narrow["recall"],
        "density": wide["density"],
        "coverage": wide["coverage"],
    }


VALUES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], dict[str, float]]] = {
    FIDELITY: fidelity_values,
    CLEAN: clean_values,
    PRDC: prdc_values,
}


def our_values(x: np.ndarray, y: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    precision, recall, density, coverage = our_scores(x, y)
    probabilities = scipy.special.softmax(logits, axis=1)
    return {
        "FID": fid_of(moments([x]), moments([y])),
        "KID": kernel_distance(x, y, seed=0, subsets=1, size=len(x)).value,
        "Inception score": inception_score(probabilities, seed=0, splits=SPLITS).value,
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
    }


def present() -> list[str]:
    """The libraries that can be imported; the others are told of."""
    found = []
    for name, module in MODULES.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            print(f"skipped: {name} ({error}); {INSTALL[name]}")
        else:
            found.append(name)
    return found


def agreement(libraries: list[str]) -> bool:
    """Print how far values differ, and say whether none is too far."""
    x, y = (features(AGREEMENT_IMAGES, AGREEMENT_DIMENSIONS, seed) for seed in (1, 2))
    # Fewer dimensions, or hardly any image would lie near another.
    x[:, 24:] *= 0.05
    y[:, 24:] *= 0.05
    logits = 3 * np.random.default_rng(3).normal(size=(AGREEMENT_IMAGES, CLASSES))
    ours = our_values(x, y, logits)
    print(f"{AGREEMENT_IMAGES} features of {AGREEMENT_DIMENSIONS} dimensions")
    print(f"{'':<16}{'value':>20}" + "".join(f"{name:>16}" for name in libraries))
    theirs = {name: VALUES[name](x, y, logits) for name in libraries}
    worst = 0.0
    for score, value in ours.items():
        row = f"{score:<16}{value:>20.14g}"
        for name in libraries:
            if score in theirs[name]:
                error = abs(theirs[name][score] / value - 1)
                worst = max(worst, error)
                row += f"{error:>16.1e}"
            else:
                row += f"{'':>16}"
        print(row)
    print(f"largest relative difference: {worst:.1e}, of {AGREEMENT:.0e} allowed")
    return worst <= AGREEMENT


def speed(options: argparse.Namespace, libraries: list[str]) -> None:
    """Print the table of seconds and ratios."""
    print(f"{processor()}; medians of {options.turns} turns; seconds, and times ours")
    columns = (PLAIN, FIDELITY, PRDC)
    print(
        f"{'':<18}{'images':>8}{'size':>6}{OURS:>10}" + "".join(f"{name:>16}" for name in columns)
    )
    for statistic, systems in SYSTEMS.items():
        images = options.neighbours if statistic == NEIGHBOURS else options.images
        compared = [name for name in systems if name in (OURS, PLAIN, *libraries)]
        processes = {name: Process(__file__, name) for name in compared}
        turns = turns_of(processes, statistic, images, options.dimensions, turns=options.turns)
        row = f"{statistic:<18}{images:>8}{options.dimensions:>6}{median(turns, OURS):>10.2f}"
        for name in columns:
            row += f"{ratio(turns, name, OURS):>15.2f}×" if name in compared else f"{'':>16}"
        print(row, flush=True)
        for process in processes.values():
            process.close()


def main() -> None:
    """Print both tables; exit with 1 if values differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--neighbours", type=int, default=10_000, help="images, for neighbours")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve(partial(make, options.worker))
        return
    libraries = present()
    agree = agreement(libraries)
    print()
    speed(options, libraries)
    if not agree:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
