"""Whole augmentations: nothing at p = 0, gradients of both orders, each image on its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.augmentation.augment import augment
from pipeline.augmentation.draws import Draws
from pipeline.config import PIPELINES, AugmentationConfig, Transform
from pipeline.training.distributed.replicas import share_of
from tests.pipeline.augmentation.alone import Array, alone, augmented, draws_of, normals

EVERYTHING = AugmentationConfig(kind="ada", pipeline="bgcfnc")
P = 0.3
ALONE = {name: alone(name) for name in PIPELINES["bgcfnc"]}
SETTINGS = {
    **ALONE,
    "all": EVERYTHING,
    "diffaugment": AugmentationConfig(kind="diffaugment"),
}

# How often an image of 8×8 pixels changes.
CHANGES: dict[Transform, float] = {
    **dict.fromkeys(PIPELINES["bgcfnc"], P),
    "xflip": P / 2,
    "rotate90": P * 3 / 4,
    "xint": P * 3 / 4,  # by -1, 0 or 1, and 0 half of the time on each side
    "lumaflip": P / 2,
    "imgfilter": 1 - (1 - P) ** 4,
}


def run(images: Any, settings: AugmentationConfig, draws: Draws, p: float = 1.0) -> Any:
    return augment(tf.convert_to_tensor(images), draws, tf.constant(p), settings)


@pytest.mark.parametrize("size", [4, 16, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_at_p_0_images_and_gradients_are_as_they_were(size: int, channels: int) -> None:
    images = tf.constant(normals(4, size, size, channels))
    weights = normals(4, size, size, channels, seed=1)
    draws = draws_of(EVERYTHING, images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        found = run(images, EVERYTHING, draws, p=0.0)
        total = tf.reduce_sum(found * weights)
    np.testing.assert_allclose(found, images, atol=2e-6)
    np.testing.assert_allclose(tape.gradient(total, images), weights, atol=2e-6)


def test_kind_none_changes_nothing() -> None:
    settings, images = AugmentationConfig(), tf.constant(normals(2, 4, 4, 3))
    assert run(images, settings, draws_of(settings, images)) is images


@pytest.mark.parametrize("name", PIPELINES["bgcfnc"])
def test_a_transform_changes_images_as_often_as_published(name: Transform) -> None:
    images = normals(2000, 8, 8, 3)
    changed = np.abs(augmented(images, P, name) - images).max((1, 2, 3)) > 1e-4
    share = CHANGES[name]
    bound = 5 * np.sqrt(len(images) * share * (1 - share))
    assert abs(changed.sum() - len(images) * share) < bound


def test_a_multiplier_makes_a_transform_rarer() -> None:
    images = normals(2000, 4, 4, 3)
    settings = alone("brightness")
    halved = settings.model_copy(
        update={"multipliers": {**settings.multipliers, "brightness": 0.5}}
    )
    found = run(images, halved, draws_of(halved, images), p=0.6).numpy()
    changed = (np.abs(found - images).max((1, 2, 3)) > 1e-4).sum()
    assert abs(changed - 600) < 5 * np.sqrt(2000 * 0.3 * 0.7)


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_of_both_orders_are_those_of_an_affine_map(name: str) -> None:
    settings, shape = SETTINGS[name], (3, 8, 8, 3)
    images, step = tf.constant(normals(*shape)), normals(*shape, seed=1)
    draws = draws_of(settings, images)

    # <T(x + v) - T(x), g> = <v, Tᵀ g>, exactly: T is affine.
    cotangent = normals(*shape, seed=2)
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(run(images, settings, draws) * cotangent)
    gradient = tape.gradient(total, images).numpy()
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0
    forward = run(images + step, settings, draws) - run(images, settings, draws)
    np.testing.assert_allclose(
        (forward.numpy() * cotangent).sum(), (step * gradient).sum(), rtol=1e-3, atol=1e-3
    )

    # R1 of a critic that is linear in its weights is quadratic in them: central differences of
    # any width are exact.
    def penalty(weights: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(images)
            score = tf.reduce_sum(weights * tf.tanh(run(images, settings, draws)))
        return tf.reduce_sum(tape.gradient(score, images) ** 2)

    weights, direction = tf.constant(normals(*shape, seed=3)), normals(*shape, seed=4)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        value = penalty(weights)
    second = tape.gradient(value, weights).numpy()
    assert np.isfinite(second).all()
    assert np.abs(second).max() > 0
    difference = float(penalty(weights + direction) - penalty(weights - direction)) / 2
    assert (second * direction).sum() == pytest.approx(difference, rel=2e-3)


@pytest.mark.parametrize("name", ["all", "diffaugment"])
def test_a_compiled_function_gives_the_same_and_is_traced_once_for_every_p(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings, images = SETTINGS[name], tf.constant(normals(6, 8, 8, 3))
    traces = []

    @tf.function
    def compiled(images: Any, draws: Draws, p: Any) -> Any:
        traces.append(None)
        return augment(images, draws, p, settings)

    for seed, p in enumerate((0.0, 0.4, 1.0)):
        draws = draws_of(settings, images, seed)
        np.testing.assert_allclose(
            compiled(images, draws, tf.constant(p)), run(images, settings, draws, p), atol=1e-5
        )
    assert len(traces) == 1
    assert "AutoGraph" not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["all", "diffaugment"])
def test_xla_computes_the_same_with_gradients_of_both_orders(name: str) -> None:
    settings, images = SETTINGS[name], tf.constant(normals(3, 8, 8, 3))
    draws = draws_of(settings, images)

    def penalty_and_gradient(images: Any) -> Any:
        with tf.GradientTape() as outer:
            outer.watch(images)
            with tf.GradientTape() as inner:
                inner.watch(images)
                score = tf.reduce_sum(tf.tanh(run(images, settings, draws, 0.9)))
            penalty = tf.reduce_sum(inner.gradient(score, images) ** 2)
        return penalty, outer.gradient(penalty, images)

    found = tf.function(penalty_and_gradient, jit_compile=True)(images)
    for one, expected in zip(found, penalty_and_gradient(images), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["all", "diffaugment"])
def test_an_image_depends_on_its_own_draws_alone(name: str) -> None:
    settings, images = SETTINGS[name], normals(6, 8, 8, 3)
    draws = draws_of(settings, images)
    whole = run(images, settings, draws, 0.7).numpy()
    rounding = 1e-6 * np.abs(whole).max()
    for number in range(len(images)):
        row = slice(number, number + 1)
        own = Draws(*(None if each is None else each[row] for each in draws))
        alone = run(images[row], settings, own, 0.7)
        np.testing.assert_allclose(alone[0], whole[number], atol=rounding)


def test_replicas_share_the_draws_for_the_whole_batch() -> None:
    images = tf.constant(normals(6, 8, 8, 3))
    draws = draws_of(EVERYTHING, images)
    whole = run(images, EVERYTHING, draws, 0.7)
    rounding = 1e-6 * np.abs(whole).max()
    for replica in range(3):
        share = tf.nest.map_structure(lambda rows, at=replica: share_of(rows, at, 3), draws)
        found = run(share_of(images, replica, 3), EVERYTHING, share, 0.7)
        np.testing.assert_allclose(found, share_of(whole, replica, 3), atol=rounding)


def test_stages_follow_each_other_in_the_published_order() -> None:
    images: Array = normals(4, 8, 8, 3)
    in_turn = images
    for group in ("bg", "color", "filter", "noise", "cutout"):
        in_turn = augmented(in_turn, 0.9, *PIPELINES[group])
    whole = augmented(images, 0.9, *PIPELINES["bgcfnc"])
    np.testing.assert_allclose(whole, in_turn, atol=1e-5)
