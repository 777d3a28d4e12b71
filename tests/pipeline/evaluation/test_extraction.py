from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.extraction import extract, prefetch
from pipeline.evaluation.features import FeatureNetwork

IMAGES = np.random.default_rng(0).integers(0, 256, (23, 2, 2, 1), np.uint8)


def network(batch: int = 4) -> FeatureNetwork:
    """The pixels themselves."""

    def forward(images: np.ndarray) -> tuple[np.ndarray, None]:
        assert len(images) == batch
        return images.reshape(batch, 4), None

    return FeatureNetwork("pixels", "00", {}, forward, batch=batch)


def cut(sizes: list[int]) -> list[np.ndarray]:
    assert sum(sizes) == len(IMAGES)
    return np.split(IMAGES, np.cumsum(sizes)[:-1])


CUTS = [[23], [1] * 23, [4, 4, 4, 4, 4, 3], [5, 0, 5, 5, 5, 3], [3, 17, 3]]


@pytest.mark.parametrize("sizes", CUTS)
def test_features_keep_their_order_however_the_stream_is_cut(sizes: list[int]) -> None:
    found = extract(network(), cut(sizes))
    np.testing.assert_array_equal(found.vectors, IMAGES.reshape(-1, 4))
    assert found.probabilities is None


@given(st.sampled_from(CUTS), st.integers(1, 50))
def test_no_more_images_are_taken_than_wanted(sizes: list[int], total: int) -> None:
    found = extract(network(), cut(sizes), total=total)
    np.testing.assert_array_equal(found.vectors, IMAGES[:total].reshape(-1, 4))


def test_no_more_batches_are_made_than_images_are_wanted() -> None:
    made = []

    def endless() -> Iterator[np.ndarray]:
        for number in itertools.count():
            made.append(number)
            yield IMAGES[:5]

    found = extract(network(), endless(), total=15)
    assert len(found.vectors) == 15
    assert made == [0, 1, 2]


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    extract(network(8), cut([23]), total=20, report=lambda *numbers: told.append(numbers))
    assert told == [(8, 20), (16, 20), (20, 20)]


def test_batches_are_made_in_one_other_thread_and_never_far_ahead() -> None:
    threads: list[threading.Thread] = []
    started = threading.Condition()

    def numbers() -> Iterator[int]:
        for number in range(10):
            with started:
                threads.append(threading.current_thread())
                started.notify_all()
            yield number

    def made(count: int) -> bool:
        with started:
            return started.wait_for(lambda: len(threads) == count, 10)

    for used, number in enumerate(prefetch(numbers(), 2)):
        assert number == used
        # While this one is used the next two are made, without being asked for.
        assert made(min(10, used + 3))
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()


def test_an_error_in_making_comes_after_the_batches_before_it() -> None:
    def breaks() -> Iterator[np.ndarray]:
        yield IMAGES[:4]
        yield IMAGES[4:8]
        raise OSError("the disk is gone")

    told: list[int] = []
    with pytest.raises(OSError, match="the disk is gone"):
        extract(network(), breaks(), report=lambda done, _: told.append(done))
    assert told == [4, 8]


def test_an_error_in_the_network_ends_the_making() -> None:
    made = []

    def endless() -> Iterator[np.ndarray]:
        for number in itertools.count():
            made.append(number)
            yield IMAGES[:4]

    def broken(_: np.ndarray) -> tuple[np.ndarray, None]:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        extract(FeatureNetwork("broken", "00", {}, broken, batch=4), endless())
    count = len(made)
    assert count <= 3
    assert not [thread for thread in threading.enumerate() if "prefetch" in thread.name]
    time.sleep(0.05)
    assert len(made) == count


def test_a_generator_of_keras_makes_the_same_images_in_the_other_thread() -> None:
    import keras

    generator = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(4), keras.layers.Reshape((2, 2, 1))]
    )
    latents = np.random.default_rng(0).normal(size=(9, 10, 4)).astype(np.float32)

    def images() -> Iterator[np.ndarray]:
        for batch in latents:
            yield (generator(batch).numpy() * 40 + 128).clip(0, 255).astype(np.uint8)

    here = np.concatenate(list(images())).reshape(-1, 4)
    np.testing.assert_array_equal(extract(network(16), images()).vectors, here)


def test_no_images_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        extract(network(), [])
