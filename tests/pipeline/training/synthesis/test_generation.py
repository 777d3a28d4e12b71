"""What images are made of in training: draws of styles, cuts and noise, and images of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import Config
from pipeline.families.stylegan2.networks import Generator
from pipeline.sampling.sampler import StyleSampler, sampler_of
from pipeline.training.loop.randomness import Purpose, key
from pipeline.training.optimization.ema import move_style_means
from pipeline.training.synthesis.generation import FromStyles, LatentBatch
from tests.pipeline.families.sections import section_of
from tests.pipeline.training.steps import after_steps, models_and_step

SIZES: dict[str, Any] = {"fmap_max": 8, "latent_size": 6, "style_size": 5, "mapping_layers": 2}
STYLES: dict[str, Any] = {"family": "stylegan2", **SIZES}
BATCH = 3


def from_styles(mixing: float = 0.9, resolution: int = 8) -> FromStyles:
    """Make images with networks of random weights, among them what usually starts at 0."""
    maker = Generator(section_of(**STYLES), channels=1)
    model = maker.model(resolution, fading=False)
    draw = np.random.default_rng(0)
    for weight in model.trainable_weights:
        if not weight.numpy().any():
            weight.assign(draw.normal(size=weight.shape))
    sampler = sampler_of(maker, model, resolution, fading=False)
    assert isinstance(sampler, StyleSampler)
    return FromStyles(sampler, mixing)


def drawn(generation: FromStyles, clock: Any = 0) -> LatentBatch:
    """Draw for a batch, as `SynthesisStep` does."""

    def draw(sampler: Any, shape: tuple[int, ...], *, part: int = 0, for_all: bool = False) -> Any:
        pair = key(7, Purpose.CRITIC_LATENTS, clock, part=part)
        if for_all:
            return tf.repeat(sampler(shape, pair)[tf.newaxis], BATCH, axis=0)
        return sampler((BATCH, *shape), pair)

    return generation.draws(draw)


def test_every_draw_of_a_batch_is_another() -> None:
    draws = drawn(from_styles())
    assert [map_.shape[1:3].as_list() for map_ in draws.noise] == [[4, 4], [8, 8], [8, 8]]
    normals = [draws.latents, draws.others, *draws.noise]
    firsts = [np.ravel(each)[:8] for each in normals]
    for number, one in enumerate(firsts):
        for other in firsts[:number]:
            assert np.abs(np.subtract(one, other)).min() > 1e-4
    keys = {
        tuple(key(0, Purpose.CRITIC_LATENTS, 8, **which).numpy().tolist())
        for which in ({}, {"repeat": 1}, {"part": 1}, {"part": 2}, {"repeat": 1, "part": 1},
                      {"roll_backs": 1}, {"roll_backs": 1, "part": 1})
    }  # fmt: skip
    assert len(keys) == 7


@pytest.mark.parametrize("mixing", [0.0, 0.9, 1.0])
def test_a_batch_has_one_cut_and_the_share_of_mixed_batches_is_as_configured(mixing: float) -> None:
    generation = from_styles(mixing)
    if not mixing:
        assert drawn(generation).cuts is None
        return
    cuts_at = tf.function(lambda clock: drawn(generation, clock).cuts, autograph=False)
    clocks = tf.range(300, dtype=tf.int64)
    batches = [cuts_at(clock).numpy() for clock in clocks]
    assert all((cuts == cuts[0]).all() for cuts in batches)
    counts = np.bincount([cuts[0] for cuts in batches], minlength=generation.layers + 1)
    assert counts[0] == 0
    expected = 300 * np.array([*[mixing / (generation.layers - 1)] * 3, 1 - mixing])
    deviation = np.sqrt(expected * (1 - expected / 300))
    assert (np.abs(counts[1:] - expected) <= 4 * deviation).all(), counts


def test_layers_after_the_cut_take_the_other_style() -> None:
    generation = from_styles()
    draws = drawn(generation)
    labels = tf.zeros((BATCH, 0))
    first, other = (generation.sampler.points(z).numpy() for z in (draws.latents, draws.others))
    for cut in range(1, generation.layers + 1):
        points = generation.points(draws._replace(cuts=tf.fill([BATCH], cut)), labels).numpy()
        assert points.shape == (BATCH, generation.layers, SIZES["style_size"])
        for layer in range(generation.layers):
            np.testing.assert_array_equal(points[:, layer], first if layer < cut else other)


def test_images_follow_from_styles_and_noise() -> None:
    generation = from_styles()
    draws, labels = drawn(generation), tf.zeros((BATCH, 0))
    images = generation.images(draws, labels).numpy()
    assert images.shape == (BATCH, 8, 8, 1)
    points = generation.points(draws, labels)
    np.testing.assert_array_equal(generation.images_at(points, draws, labels), images)
    for number in range(len(draws.noise)):
        noise = list(draws.noise)
        noise[number] = noise[number] + 1.0
        moved = generation.images(draws._replace(noise=tuple(noise)), labels).numpy()
        assert np.abs(moved - images).max() > 1e-3, number


def test_the_mean_of_styles_moves_by_a_share() -> None:
    generation = from_styles()
    draws = drawn(generation)
    style = generation.mean_style(draws, tf.zeros((BATCH, 0))).numpy()
    np.testing.assert_allclose(
        style, generation.sampler.points(draws.latents).numpy().mean(0), rtol=1e-5
    )
    means = [Generator(section_of(**STYLES), channels=1).truncation for _ in range(2)]
    for mean in means:
        mean.build((None, 4, SIZES["style_size"]))
        mean.mean.assign(np.ones(SIZES["style_size"]))
    move_style_means([mean.mean for mean in means], style)
    for mean in means:
        np.testing.assert_allclose(mean.mean.numpy(), 0.995 + 0.005 * style, rtol=1e-6)


@pytest.mark.parametrize("family", [pytest.param("stylegan", marks=pytest.mark.slow), "stylegan2"])
def test_a_step_trains_styles_and_keeps_their_mean(
    tiny: Callable[..., Config], family: str
) -> None:
    resolution = {"start_resolution": 8} if family == "stylegan2" else {}
    config = tiny(
        network={**SIZES, "family": family},
        objective={"loss": "logistic", "penalty": "none", "r1": 1.0, "drift": 0.0},
        schedule=resolution,
        data={"labels": True},
    )
    models, step = models_and_step(config, -1)
    assert len(models.style_means) == 2
    before = {name: value.numpy() for name, value in models.variables.items()}
    metrics = after_steps(step, config, 3)
    assert all(np.isfinite(value) for value in metrics.values())
    assert "mean_style" not in metrics
    after = models.variables
    for weight in (*models.generator.trainable_weights, *models.discriminator.trainable_weights):
        name = f"{weight.path.partition('/')[0]}/{weight.name}"
        assert (after[name].numpy() != before[name]).any(), name
    for name, value in before.items():
        if "noise" in name and name.endswith("/map"):
            np.testing.assert_array_equal(after[name], value)
    one, other = (mean.numpy() for mean in models.style_means)
    assert one.any()
    np.testing.assert_array_equal(one, other)
