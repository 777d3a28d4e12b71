"""Every adversarial loss and its gradient against formulas of its own, in NumPy and float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import LossName
from pipeline.objectives.adversarial import LOSSES, label_loss

Scores = np.ndarray


def log_sigmoid(x: Scores) -> Scores:
    return -np.logaddexp(0.0, -x)


def hinge(x: Scores) -> Scores:
    return np.maximum(0.0, 1.0 - x)


# As the papers write them: what the discriminator and the generator minimise, a sample.
PAPERS: dict[str, tuple[Callable[[Scores, Scores], Scores], Callable[[Scores, Scores], Scores]]] = {
    "wasserstein": (lambda r, f: -(r - f), lambda r, f: -f),
    "logistic": (
        lambda r, f: -log_sigmoid(r) - np.log1p(-1 / (1 + np.exp(-f))),
        lambda r, f: -log_sigmoid(f),
    ),
    "minimax": (
        lambda r, f: -log_sigmoid(r) - np.log1p(-1 / (1 + np.exp(-f))),
        lambda r, f: np.log1p(-1 / (1 + np.exp(-f))),
    ),
    "least_squares": (
        lambda r, f: 0.5 * (r - 1) ** 2 + 0.5 * f**2,
        lambda r, f: 0.5 * (f - 1) ** 2,
    ),
    "hinge": (lambda r, f: hinge(r) + hinge(-f), lambda r, f: -f),
    "relativistic_logistic": (
        lambda r, f: -log_sigmoid(r - f.mean()) - log_sigmoid(-(f - r.mean())),
        lambda r, f: -log_sigmoid(f - r.mean()) - log_sigmoid(-(r - f.mean())),
    ),
    "relativistic_least_squares": (
        lambda r, f: (r - f.mean() - 1) ** 2 + (f - r.mean() + 1) ** 2,
        lambda r, f: (f - r.mean() - 1) ** 2 + (r - f.mean() + 1) ** 2,
    ),
    "relativistic_hinge": (
        lambda r, f: hinge(r - f.mean()) + hinge(-(f - r.mean())),
        lambda r, f: hinge(f - r.mean()) + hinge(-(r - f.mean())),
    ),
}


def slopes(function: Callable[[Scores], Any], at: Scores) -> Scores:
    """Central differences of the mean of a function."""
    step = 1e-5
    found = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        shift = np.zeros_like(at)
        shift[index] = step
        found[index] = (function(at + shift).mean() - function(at - shift).mean()) / (2 * step)
    return found


@pytest.fixture
def scores() -> tuple[Scores, Scores]:
    random = np.random.default_rng(0)
    return random.normal(0.5, 1.5, (6, 1)), random.normal(-0.5, 1.5, (6, 1))


def test_every_name_of_the_configuration_has_a_loss_and_a_formula_here() -> None:
    assert list(LOSSES) == list(get_args(LossName)) == list(PAPERS)


@pytest.mark.parametrize("name", PAPERS)
@pytest.mark.parametrize("network", ["critic", "generator"])
def test_losses_and_their_gradients_are_the_papers(
    name: LossName, network: str, scores: tuple[Scores, Scores]
) -> None:
    loss = getattr(LOSSES[name], network)
    paper = PAPERS[name][network == "generator"]
    reals, fakes = scores
    ours = [tf.constant(kind, tf.float32) for kind in scores]
    with tf.GradientTape() as tape:
        tape.watch(ours)
        losses = loss(*ours)
        total = tf.reduce_mean(losses)
    gradients = tape.gradient(total, ours, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    assert losses.dtype == tf.float32
    np.testing.assert_allclose(losses, paper(reals, fakes), rtol=1e-5, atol=1e-6)
    expected = slopes(lambda r: paper(r, fakes), reals), slopes(lambda f: paper(reals, f), fakes)
    for one, other in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", PAPERS)
def test_a_generator_loss_that_needs_no_reals_takes_none(
    name: LossName, scores: tuple[Scores, Scores]
) -> None:
    loss = LOSSES[name]
    assert loss.needs_reals == name.startswith("relativistic")
    if not loss.needs_reals:
        loss.generator(None, tf.constant(scores[1]))


@pytest.mark.parametrize("name", PAPERS)
def test_losses_of_large_scores_are_finite(name: LossName) -> None:
    large = tf.constant([[1e4], [-1e4]])
    for loss in (LOSSES[name].critic, LOSSES[name].generator):
        with tf.GradientTape() as tape:
            tape.watch(large)
            total = tf.reduce_mean(loss(large, -large))
        assert np.isfinite(total)
        assert np.isfinite(tape.gradient(total, large)).all()


def test_the_label_term_is_the_cross_entropy() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    labels = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1]]
    entropy = -(labels * (logits - np.log(np.exp(logits).sum(1, keepdims=True)))).sum(1)
    np.testing.assert_allclose(label_loss(labels, logits), entropy, rtol=1e-5)
