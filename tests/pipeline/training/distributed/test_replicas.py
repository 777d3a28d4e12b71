"""The shares of replicas: whole groups of the batch, whatever the number of replicas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from layers.minibatch_std import MinibatchStd
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.training.distributed.replicas import (
    first_sample_of,
    in_order_of_replicas,
    make_strategy,
    share_of,
)
from pipeline.training.loop.randomness import Purpose, key


@pytest.mark.parametrize(("batch", "replicas"), [(8, 1), (8, 2), (16, 4), (12, 3)])
def test_the_shares_are_the_batch(batch: int, replicas: int) -> None:
    samples = tf.range(batch)
    shares = [share_of(samples, replica, replicas).numpy() for replica in range(replicas)]
    for replica, share in enumerate(shares):
        np.testing.assert_array_equal(share, range(replica, batch, replicas))
    np.testing.assert_array_equal(in_order_of_replicas(samples, replicas), np.concatenate(shares))


@pytest.mark.parametrize(("readers", "own"), [(1, 1), (1, 4), (4, 1), (2, 2), (3, 2), (2, 4)])
def test_replicas_have_the_samples_that_their_reader_reads(readers: int, own: int) -> None:
    """Disjoint and complete, and for data as for draws."""
    replicas = readers * own
    samples = np.arange(3 * replicas)
    taken = []
    for replica in range(replicas):
        read = samples[replica // own :: readers]  # as `dataset_for` gives them
        data = in_order_of_replicas(tf.constant(read), own)[replica % own * 3 :][:3]
        place = first_sample_of(replica, replicas, readers)
        np.testing.assert_array_equal(data, share_of(tf.constant(samples), place, replicas))
        taken += data.numpy().tolist()
    assert sorted(taken) == samples.tolist()


@pytest.mark.parametrize(
    ("batch", "replicas", "group"), [(8, 2, 4), (16, 2, 4), (16, 4, 4), (12, 3, 2), (32, 4, 8)]
)
def test_the_groups_of_the_minibatch_deviation_are_those_of_one_device(
    batch: int, replicas: int, group: int
) -> None:
    samples = tf.constant(np.random.default_rng(0).normal(size=(batch, 2, 2, 3)), tf.float32)
    layer = MinibatchStd(group)
    whole = layer(samples)
    for replica in range(replicas):
        alone = layer(share_of(samples, replica, replicas))
        np.testing.assert_array_equal(alone, share_of(whole, replica, replicas))


@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_the_draws_of_all_replicas_are_those_of_one(replicas: int) -> None:
    pair = key(3, Purpose.CRITIC_LATENTS, tf.constant(160, tf.int64))
    draw = tf.random.stateless_normal((8, 5), pair)
    shares = [share_of(draw, replica, replicas) for replica in range(replicas)]
    merged = np.stack(shares, axis=1).reshape(8, 5)
    np.testing.assert_array_equal(merged, draw)


def test_draws_stay_what_they_were() -> None:
    """A run that goes on with another version draws the same numbers."""
    pair = key(7, Purpose.PENALTY_MIX, tf.constant(1600, tf.int64))
    drawn = tf.random.stateless_uniform((2,), pair).numpy()
    # As version 0.1.0 drew for its first replica.
    np.testing.assert_array_equal(drawn, np.float32([0.09226679801940918, 0.3098992109298706]))


def test_more_replicas_than_devices_are_refused(tiny: Callable[..., Config]) -> None:
    with pytest.raises(UserError, match=r"`run.replicas` must not exceed .* 99, with \d+ of them"):
        make_strategy(tiny(run={"strategy": "mirrored", "replicas": 99}))


def test_a_tpu_is_used_where_one_answers(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is none here: TensorFlow's own calls are noted in place of made."""
    calls: list[Any] = []

    class Resolver:
        def __init__(self, address: str | None) -> None:
            calls.append(address)

        def master(self) -> str:
            return ""

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", Resolver)
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", calls.append)
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", calls.append)
    device = tf.distribute.OneDeviceStrategy("/cpu:0")
    monkeypatch.setattr(
        tf.distribute, "TPUStrategy", lambda resolver: calls.append(resolver) or device
    )
    assert make_strategy(tiny(run={"strategy": "tpu", "tpu": "my-tpu"})) is device
    assert calls[0] == "my-tpu"
    assert all(isinstance(call, Resolver) for call in calls[1:])
    assert len(calls) == 4
