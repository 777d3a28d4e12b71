"""Draws are functions of what they are for."""

from __future__ import annotations

import tensorflow as tf

from pipeline.training.loop.randomness import Purpose, key


def test_draws_are_functions_of_seed_purpose_and_clock() -> None:
    def draw(seed: int, purpose: int, images_seen: int) -> tuple[float, ...]:
        pair = key(seed, Purpose(purpose), images_seen)
        return tuple(tf.random.stateless_normal((3,), pair).numpy())

    assert draw(1, 2, 300) == draw(1, 2, 300)
    variants = [(1, 2, 300), (2, 2, 300), (1, 1, 300), (1, 2, 316)]
    assert len({draw(*variant) for variant in variants}) == len(variants)


def test_repeats_draw_apart_and_the_first_draws_as_if_alone() -> None:
    def draw(number: int, images_seen: int = 64) -> tuple[int, ...]:
        return tuple(key(0, Purpose.GENERATOR_LATENTS, images_seen, repeat=number).numpy())

    assert draw(0) == tuple(key(0, Purpose.GENERATOR_LATENTS, 64).numpy())
    assert len({draw(0), draw(1), draw(2), draw(0, 72), draw(1, 72)}) == 5
