"""Measures of a generator, such as FID: what each needs, and the protocol of its scores.

A measure yields one or more scores. The protocol lists the parameters of a score: two scores
compare only if their protocols are equal, so changing one ends the comparison with older scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from pipeline.data.conversion import UNLABELLED
from pipeline.data.records import RecordSet
from pipeline.evaluation.features.network import FeatureNetwork, Images
from pipeline.evaluation.material import Material
from pipeline.evaluation.scores import ClassScores, Protocol, Score
from pipeline.evaluation.statistics import frechet, kernel, neighbours, sliced
from pipeline.evaluation.statistics.classes import classification_accuracy, frechet_by_class
from pipeline.evaluation.statistics.inception_score import SPLITS, inception_score
from pipeline.evaluation.statistics.intervals import Estimate, estimate_mean
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

PIXELS_IN_MEMORY = 2**30
"""Maximum number of values, over all pixels and channels, of the images for MS-SSIM."""


def _fid(material: Material) -> Iterator[Score]:
    fakes, _ = material.vectors
    draws = frechet.moments_of_draws(fakes, seed=material.seed)
    assert material.references is not None
    found = frechet.frechet_estimates(draws, material.references.moments())
    protocol = _full_protocol(material, draws=len(draws))
    yield _score("fid", found.fid, protocol, found.advice)
    yield _score("fid_infinity", found.infinity, protocol, found.advice)


def _kid(material: Material) -> Iterator[Score]:
    fakes, reals = material.vectors
    # For the protocol: with few images, `kernel_distance` uses smaller subsets.
    size = min(kernel.SUBSET_SIZE, len(fakes), len(reals))
    estimate = kernel.kernel_distance(fakes, reals, seed=material.seed)
    protocol = _full_protocol(material, subsets=kernel.SUBSETS, subset_size=size)
    yield _score("kid", estimate, protocol)


def _inception_score(material: Material) -> Iterator[Score]:
    assert material.features is not None
    assert material.features.probabilities is not None
    estimate = inception_score(material.features.probabilities, seed=material.seed)
    yield _score("inception_score", estimate, _fakes_protocol(material, splits=SPLITS))


def _precision_recall(material: Material) -> Iterator[Score]:
    fakes, reals = material.vectors
    assert material.references is not None
    sizes = (neighbours.MANIFOLD_NEIGHBOURS, neighbours.DENSITY_NEIGHBOURS)
    # Cache the radii of the reals: they are most of the work, and equal in every evaluation.
    known = material.references.statistic(
        f"radii of {sizes[0]} and {sizes[1]} neighbours",
        lambda vectors: {"radii": neighbours.radii_of(vectors, *sizes)},
    )
    found = neighbours.neighbourhood_scores(fakes, reals, radii=known["radii"], seed=material.seed)
    for name, estimate in found._asdict().items():
        k = sizes[0] if name in ("precision", "recall") else sizes[1]
        yield _score(name, estimate, _full_protocol(material, neighbours=k))


def _swd(material: Material) -> Iterator[Score]:
    # Use equal numbers of fakes and reals: their sorted projections are compared one by one.
    count = min(sliced.IMAGES, material.fakes.count, material.plan.records.originals())
    sets = (material.fakes.batches(count), material.reals(count))
    of_fakes, of_reals = (sliced.draw_descriptors(images, seed=material.seed) for images in sets)
    by_level = sliced.sliced_wasserstein(of_fakes, of_reals, seed=material.seed)
    protocol = {**_fakes_protocol(material), "images": count, "references": count}
    yield _score("swd", Estimate(float(np.mean(list(by_level.values())))), protocol)
    for side, distance in by_level.items():
        yield _score(f"swd_{side}", Estimate(distance), protocol)


def _ms_ssim(material: Material) -> Iterator[Score]:
    height, width = material.plan.records.shape(material.resolution)
    image_size = height * width * material.plan.records.channels
    # Limit the number of images by their size, because all are in memory at once.
    count = min(material.fakes.count, 2 * PAIRS, PIXELS_IN_MEMORY // image_size)
    images = np.concatenate(list(material.fakes.batches(count)))
    labels = None if material.fakes.labels is None else material.fakes.labels[:count]
    pairs = min(PAIRS, count // 2)
    estimate = similarity_of_pairs(images, labels, seed=material.seed, pairs=pairs)
    protocol = {**_fakes_protocol(material), "images": count, "pairs": pairs}
    yield _score("ms_ssim", estimate, protocol)


def _path_lengths(material: Material) -> Iterator[Score]:
    fakes, network = material.fakes, material.plan.network
    painter = fakes.painter
    assert network is not None
    size = painter.sampler.model.inputs[0].shape[-1]
    latents = np.random.default_rng(material.seed).standard_normal((2, fakes.count, size))
    # `labels` marks new scores: those of older versions used the first batch's labels for all.
    z_protocol = _fakes_protocol(material, labels=None if fakes.labels is None else "of each pair")
    spaces: list[tuple[str, Generate, Any, Interpolate, Protocol]] = [
        ("z", fakes.of_latents, latents, slerp, z_protocol)
    ]
    if painter.has_styles:
        labels = fakes.labels_at(range(fakes.count))
        styles = [
            painter.styles(range(first, first + fakes.count), labels) for first in (0, fakes.count)
        ]

        def generate_from_styles(styles: Any, _: slice) -> Images:
            return painter.floats(styles)  # No labels needed: the styles already depend on them.

        spaces.append(
            ("w", generate_from_styles, np.stack(styles), lerp, _fakes_protocol(material))
        )

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


def _feature_distance(material: Material) -> Iterator[Score]:
    fakes, _ = material.vectors
    pairs = len(fakes) // 2
    # Pair images without sharing any, so that the distances are independent.
    estimate = estimate_mean(feature_distance(fakes[:pairs], fakes[pairs : 2 * pairs]))
    yield _score("feature_distance", estimate, _fakes_protocol(material, pairs=pairs))


def _memorisation(material: Material) -> Iterator[Score]:
    assert material.held_out is not None
    held_out = material.held_out.features.vectors
    fakes, _ = material.vectors
    estimate = neighbours.memorisation(fakes, material.shown, held_out)
    # `mirrored` marks new scores: those of older versions ignored the mirror images.
    mirrored = None if material.mirrored is None else "too"
    protocol = _full_protocol(material, held_out=len(held_out), mirrored=mirrored)
    yield _score("memorisation", estimate, protocol)


def _classification_accuracy(material: Material) -> Iterator[Score]:
    (fakes, _), (fake_labels, _) = material.vectors, material.labels
    # Prefer held-out images: the generator may have memorised the training images.
    reals = material.held_out or material.references
    assert reals is not None
    labelled = reals.labels != UNLABELLED
    estimate = classification_accuracy(
        fakes, fake_labels, reals.features.vectors[labelled], reals.labels[labelled]
    )
    held_out = reals.protocol["split"]
    protocol = _fakes_protocol(material, references=int(labelled.sum()), held_out=held_out)
    yield _score("classification_accuracy", estimate, protocol)


def by_class(material: Material) -> tuple[ClassScores, ...]:
    """Measure FID per class of a labelled run; leave out classes with fewer than two images."""
    (fakes, reals), (fake_labels, real_labels) = material.vectors, material.labels
    found = frechet_by_class(fakes, fake_labels, reals, real_labels)
    return tuple(
        ClassScores(name=material.plan.records.classes[label], **each._asdict())
        for label, each in found.items()
        if label != UNLABELLED and each.fid is not None
    )


MEASURES: Mapping[str, Callable[[Material], Iterator[Score]]] = {
    "fid": _fid,
    "kid": _kid,
    "inception_score": _inception_score,
    "precision_recall": _precision_recall,
    "swd": _swd,
    "ms_ssim": _ms_ssim,
    "path_length": _path_lengths,
    "feature_distance": _feature_distance,
    "memorisation": _memorisation,
    "classification_accuracy": _classification_accuracy,
}
"""Measures by the name used in `evaluation.metrics`."""
OF_PIXELS = ("swd", "ms_ssim")  # Measures that use pixels only, and need no features.


def missing_need(
    measure: str, network: FeatureNetwork | None, records: RecordSet, *, labelled: bool
) -> str | None:
    """Return what a measure needs but does not have; None if it can be computed."""
    if measure in OF_PIXELS:
        return None
    if network is None:
        return "features, by --features or `evaluation.features`"
    if measure == "inception_score" and network.classes is None:
        return "features of a network with classes"
    if measure == "memorisation" and records.size("val") < neighbours.MIN_HELD_OUT:
        return f"at least {neighbours.MIN_HELD_OUT} images that `data.val` sets apart"
    if measure == "classification_accuracy" and not labelled:
        return "a run with `data.labels`"
    return None


def _score(name: str, estimate: Estimate, protocol: Protocol, advice: str | None = None) -> Score:
    # Leave out keys with None: the protocol must equal that of older files without such keys.
    protocol = {key: value for key, value in protocol.items() if value is not None}
    return Score(name=name, **estimate._asdict(), protocol=protocol, advice=advice)


def _fakes_protocol(material: Material, **more: float | str | None) -> Protocol:
    fakes = material.fakes
    # Leave out constant noise: scores of older versions, without the key, then still compare.
    noise = None if fakes.noise == "constant" else fakes.noise
    return {"images": fakes.count, "seed": material.seed, "noise": noise, **more}


def _full_protocol(material: Material, **more: float | str | None) -> Protocol:
    _, reals = material.vectors
    return {**_fakes_protocol(material), "references": len(reals), **more}
