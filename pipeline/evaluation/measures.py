"""Measures of a generator, with the needs of each and the protocol of its scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from pipeline.data.conversion import UNLABELLED
from pipeline.data.dataset import images_of
from pipeline.data.records import RecordSet
from pipeline.evaluation.fakes import Fakes
from pipeline.evaluation.features.network import FeatureNetwork, Features, Images
from pipeline.evaluation.references import References, moments_of
from pipeline.evaluation.scores import ClassScores, Protocol, Score
from pipeline.evaluation.statistics import frechet, kernel, neighbours, sliced
from pipeline.evaluation.statistics.arrays import Array
from pipeline.evaluation.statistics.classes import classification_accuracy, frechet_by_class
from pipeline.evaluation.statistics.estimate import Estimate
from pipeline.evaluation.statistics.inception_score import SPLITS, inception_score
from pipeline.evaluation.statistics.intervals import of_mean
from pipeline.evaluation.statistics.ms_ssim import PAIRS, similarity_of_pairs
from pipeline.evaluation.statistics.paths import (
    STEP,
    Generate,
    Interpolate,
    feature_distance,
    lerp,
    path_length,
    slerp,
)

LEAST_HELD_OUT = round(1 / neighbours.HELD_OUT_QUANTILE)
PIXELS_IN_MEMORY = 2**30
READ_AT_A_TIME = 256


@dataclass(frozen=True)
class Material:
    """Inputs of all measures.

    Args:
        fakes: Generated images.
        records: Images that the generator was trained on.
        resolution: Resolution of the images, in pixels.
        seed: Seed of every random choice.
        network: Feature network; None if no measure needs features.
        features: Features of the generated images.
        references: Features of the training images.
        mirrored: Features of the mirrored training images, if training showed those too.
        held_out: Features of the split `val`; None without one.
    """

    fakes: Fakes
    records: RecordSet
    resolution: int
    seed: int
    network: FeatureNetwork | None = None
    features: Features | None = None
    references: References | None = None
    mirrored: References | None = None
    held_out: References | None = None

    @property
    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """Features of fakes and of reals."""
        assert self.features is not None
        assert self.references is not None
        return self.features.vectors, self.references.features.vectors

    @property
    def shown(self) -> np.ndarray:
        """Features of all images shown in training: reals, then their mirror images if used."""
        _, reals = self.vectors
        if self.mirrored is None:
            return reals
        return np.concatenate([reals, self.mirrored.features.vectors])

    @property
    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels of fakes and of reals."""
        assert self.fakes.labels is not None
        assert self.references is not None
        return self.fakes.labels, self.references.labels

    def reals(self, count: int) -> Iterator[Images]:
        """Read the first training images, in batches."""
        samples = images_of(self.records, self.resolution, copies=False).take(count)
        for batch in samples.batch(READ_AT_A_TIME).as_numpy_iterator():
            yield batch["image"]


def fid(material: Material) -> Iterator[Score]:
    """Measure FID and FID∞, with intervals."""
    fakes, _ = material.vectors
    draws = frechet.draws_of(fakes, seed=material.seed)
    assert material.references is not None
    found = frechet.frechet_estimates(draws, moments_of(material.references))
    protocol = _of_both(material, draws=len(draws))
    yield _score("fid", found.fid, protocol, found.advice)
    yield _score("fid_infinity", found.infinity, protocol, found.advice)


def kid(material: Material) -> Iterator[Score]:
    """Measure KID."""
    fakes, reals = material.vectors
    size = min(kernel.SUBSET_SIZE, len(fakes), len(reals))
    estimate = kernel.kernel_distance(fakes, reals, seed=material.seed)
    yield _score("kid", estimate, _of_both(material, subsets=kernel.SUBSETS, subset_size=size))


def of_classes_seen(material: Material) -> Iterator[Score]:
    """Measure the Inception score."""
    assert material.features is not None
    assert material.features.probabilities is not None
    estimate = inception_score(material.features.probabilities, seed=material.seed)
    yield _score("inception_score", estimate, _of_fakes(material, splits=SPLITS))


def precision_recall(material: Material) -> Iterator[Score]:
    """Measure precision, recall, density and coverage."""
    fakes, reals = material.vectors
    assert material.references is not None
    sizes = (neighbours.MANIFOLD_NEIGHBOURS, neighbours.DENSITY_NEIGHBOURS)
    # Cached: the reals' radii are most of the work, and equal in every evaluation.
    known = material.references.statistic(
        f"radii of {sizes[0]} and {sizes[1]} neighbours",
        lambda vectors: {"radii": neighbours.radii_of(vectors, *sizes)},
    )
    found = neighbours.neighbourhood_scores(fakes, reals, radii=known["radii"], seed=material.seed)
    for name, estimate in found._asdict().items():
        manifold = name in ("precision", "recall")
        k = neighbours.MANIFOLD_NEIGHBOURS if manifold else neighbours.DENSITY_NEIGHBOURS
        yield _score(name, estimate, _of_both(material, neighbours=k))


def swd(material: Material) -> Iterator[Score]:
    """Measure SWD at each level, and its mean over levels."""
    count = min(sliced.IMAGES, material.fakes.count, material.records.originals())
    sides = (material.fakes.batches(count), material.reals(count))
    of_fakes, of_reals = (sliced.descriptors(side, seed=material.seed) for side in sides)
    by_level = sliced.sliced_wasserstein(of_fakes, of_reals, seed=material.seed)
    protocol = {**_of_fakes(material), "images": count, "references": count}
    yield _score("swd", Estimate(float(np.mean(list(by_level.values())))), protocol)
    for side, distance in by_level.items():
        yield _score(f"swd_{side}", Estimate(distance), protocol)


def ms_ssim(material: Material) -> Iterator[Score]:
    """Measure the MS-SSIM of pairs of fakes."""
    shape = material.records.shape(material.resolution)
    of_image = shape[0] * shape[1] * material.records.channels
    # All images are in memory at once, so their number is limited by their size.
    count = min(material.fakes.count, 2 * PAIRS, PIXELS_IN_MEMORY // of_image)
    images = np.concatenate(list(material.fakes.batches(count)))
    labels = None if material.fakes.labels is None else material.fakes.labels[:count]
    pairs = min(PAIRS, count // 2)
    estimate = similarity_of_pairs(images, labels, seed=material.seed, pairs=pairs)
    protocol = {**_of_fakes(material), "images": count, "pairs": pairs}
    yield _score("ms_ssim", estimate, protocol)


def path_lengths(material: Material) -> Iterator[Score]:
    """Measure perceptual path lengths in z and w, along full paths and at their ends."""
    fakes, network = material.fakes, material.network
    painter = fakes.painter
    assert network is not None
    size = painter.sampler.model.inputs[0].shape[-1]
    draw = np.random.default_rng(material.seed)
    of_latents = draw.standard_normal((2, fakes.count, size))
    # Changes the protocol: older scores of labelled runs used one batch's labels for all batches.
    of_z = _of_fakes(material, labels=None if fakes.labels is None else "of each pair")
    spaces: list[tuple[str, Generate, Array, Interpolate, Protocol]] = [
        ("z", fakes.of_latents, of_latents, slerp, of_z)
    ]
    if painter.has_styles:
        labels = () if fakes.labels is None else fakes.labels.tolist()
        of_styles = [
            painter.styles(range(first, first + fakes.count), labels) for first in (0, fakes.count)
        ]
        floats = partial(_without_numbers, painter.floats)
        spaces.append(("w", floats, np.stack(of_styles), lerp, _of_fakes(material)))

    def distance(here: Images, there: Images) -> np.ndarray:
        return feature_distance(network(here).vectors, network(there).vectors)

    for space, generate, (starts, ends), interpolate, protocol in spaces:
        for suffix, full in (("", True), ("_end", False)):
            estimate = path_length(
                generate,
                distance,
                starts,
                ends,
                interpolate=interpolate,
                seed=material.seed,
                full=full,
                batch=network.batch,
            )
            protocol = {**protocol, "step": STEP, "trimmed": "1 to 99 %"}
            yield _score(f"path_length_{space}{suffix}", estimate, protocol)


def _without_numbers(floats: Callable[[Array], Images], styles: Array, _: slice) -> Images:
    return floats(styles)


def distance_of_pairs(material: Material) -> Iterator[Score]:
    """Measure the distance between the features of pairs of fakes."""
    fakes, _ = material.vectors
    pairs = len(fakes) // 2
    estimate = of_mean(feature_distance(fakes[:pairs], fakes[pairs : 2 * pairs]))
    yield _score("feature_distance", estimate, _of_fakes(material, pairs=pairs))


def memorisation(material: Material) -> Iterator[Score]:
    """Measure the share of fakes that are too near to a training image."""
    assert material.held_out is not None
    held_out = material.held_out.features.vectors
    fakes, _ = material.vectors
    estimate = neighbours.memorisation(fakes, material.shown, held_out)
    # Changes the protocol: older scores of mirrored runs ignored the mirror images.
    mirrored = None if material.mirrored is None else "too"
    protocol = _of_both(material, held_out=len(held_out), mirrored=mirrored)
    yield _score("memorisation", estimate, protocol)


def accuracy_from_fakes(material: Material) -> Iterator[Score]:
    """Measure the accuracy on reals, held-out if possible, of a classifier trained on fakes."""
    assert material.references is not None
    (fakes, _), (fake_labels, _) = material.vectors, material.labels
    # Held-out images, if there are any: a generator may have memorised the others.
    reals = material.held_out or material.references
    told = reals.labels != UNLABELLED
    real_labels = reals.labels[told]
    estimate = classification_accuracy(
        fakes, fake_labels, reals.features.vectors[told], real_labels
    )
    protocol = _of_fakes(material, references=len(real_labels), held_out=reals.protocol["split"])
    yield _score("classification_accuracy", estimate, protocol)


def by_class(material: Material) -> tuple[ClassScores, ...]:
    """Measure FID per class of a labelled run; leaves out classes of fewer than two images."""
    (fakes, reals), (fake_labels, real_labels) = material.vectors, material.labels
    found = frechet_by_class(fakes, fake_labels, reals, real_labels)
    return tuple(
        ClassScores(
            name=material.records.classes[label],
            images=each.images,
            references=each.references,
            fid=each.fid,
            advice=each.advice,
        )
        for label, each in found.items()
        if label != UNLABELLED and each.fid is not None
    )


Measure = Callable[[Material], Iterator[Score]]
MEASURES: Mapping[str, Measure] = {
    "fid": fid,
    "kid": kid,
    "inception_score": of_classes_seen,
    "precision_recall": precision_recall,
    "swd": swd,
    "ms_ssim": ms_ssim,
    "path_length": path_lengths,
    "feature_distance": distance_of_pairs,
    "memorisation": memorisation,
    "classification_accuracy": accuracy_from_fakes,
}
OF_PIXELS = ("swd", "ms_ssim")
"""Measures of pixels, which need no features."""


def obstacle(
    measure: str, network: FeatureNetwork | None, records: RecordSet, *, labelled: bool
) -> str | None:
    """Return what a measure needs and lacks; None if it can be computed."""
    if measure in OF_PIXELS:
        return None
    if network is None:
        return "features, by --features or `evaluation.features`"
    if measure == "inception_score" and network.classes is None:
        return "features of a network with classes"
    if measure == "memorisation" and images_set_apart(records) < LEAST_HELD_OUT:
        return f"at least {LEAST_HELD_OUT} images that `data.val` sets apart"
    if measure == "classification_accuracy" and not labelled:
        return "a run with `data.labels`"
    return None


def images_set_apart(records: RecordSet) -> int:
    """Return the number of images in the split `val`, which training never uses."""
    return records.size("val") if "val" in records.shards else 0


def _score(name: str, estimate: Estimate, protocol: Protocol, advice: str | None = None) -> Score:
    return Score(
        name=name,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        protocol={key: value for key, value in protocol.items() if value is not None},
        advice=advice,
    )


def _of_fakes(material: Material, **more: float | str | None) -> Protocol:
    fakes = material.fakes
    # Left out if constant, so that scores from before noise was a choice still compare.
    noise = None if fakes.noise == "constant" else fakes.noise
    return {"images": fakes.count, "seed": material.seed, "noise": noise, **more}


def _of_both(material: Material, **more: float | str | None) -> Protocol:
    _, reals = material.vectors
    return {**_of_fakes(material), "references": len(reals), **more}
