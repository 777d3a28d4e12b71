"""Batches: who shares one, when it is due, what is refused, and what comes back to whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from savedmodels.server.batching import (
    BatchingParameters,
    BatchQueue,
    BatchTask,
    Tensors,
    is_ready,
    join,
    next_batches,
    padding,
    split,
)
from savedmodels.server.codes import Code, Refused

NEVER = float("inf")


def task(key: str, size: int, arrival: float = 0.0) -> BatchTask:
    return BatchTask(key, {"x": np.zeros((size, 2))}, size, arrival, NEVER)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 5)), min_size=1, max_size=12),
    st.integers(5, 9),
)
def test_a_batch_is_the_longest_run_of_a_key_that_fits(
    asked: list[tuple[str, int]], limit: int
) -> None:
    waiting = [task(key, size) for key, size in asked]
    batches = next_batches(waiting, limit)
    assert [batch[0].key for batch in batches] == list(dict.fromkeys(key for key, _ in asked))
    for batch in batches:
        same = [one for one in waiting if one.key == batch[0].key]
        assert batch == same[: len(batch)]
        assert sum(one.size for one in batch) <= limit
        if len(batch) < len(same):
            assert sum(one.size for one in same[: len(batch) + 1]) > limit


def test_a_batch_is_due_when_it_is_full_or_has_waited() -> None:
    parameters = BatchingParameters(max_batch_size=4, batch_timeout_micros=1_000_000)
    assert not is_ready([task("a", 3, arrival=10)], 10.9, parameters)
    assert is_ready([task("a", 3, arrival=10)], 11.0, parameters)
    assert is_ready([task("a", 3, arrival=10), task("a", 1, arrival=10)], 10.0, parameters)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_what_is_joined_comes_apart_again(sizes: list[int]) -> None:
    parts = [{"x": np.full((size, 3), index)} for index, size in enumerate(sizes)]
    for part, again in zip(parts, split(join(parts), sizes), strict=True):
        np.testing.assert_array_equal(part["x"], again["x"])


@pytest.mark.parametrize("output", [np.zeros(3), np.float32(1)])
def test_outputs_that_do_not_come_apart(output: np.ndarray) -> None:
    with pytest.raises(Refused) as caught:
        split({"y": np.asarray(output)}, [2, 2])
    assert caught.value.code is Code.FAILED_PRECONDITION


@given(st.lists(st.integers(0, 3), min_size=1, max_size=5))
def test_a_batch_is_filled_up_to_the_next_allowed_size(sizes: list[int]) -> None:
    batch = [
        BatchTask(
            "a", {"x": np.full((size, 2), index), "n": np.full(size, index)}, size, 0.0, NEVER
        )
        for index, size in enumerate(sizes)
    ]
    filling = padding(batch, [2, 7, 15])
    whole = join([*(one.inputs for one in batch), *filling])
    assert len(whole["x"]) == len(whole["n"])
    assert len(whole["x"]) == next(n for n in (0, 2, 7, 15) if n >= sum(sizes))
    last = [index for index, size in enumerate(sizes) if size][-1:]
    for part in filling:
        assert set(part["x"].ravel()) | set(part["n"]) == set(last)
    assert padding(batch, []) == []


class Model:
    """Double what it gets, when it may, and remember the sizes of its runs."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.has_begun = threading.Event()
        self.may_run = threading.Event()

    def run(self, key: Hashable, inputs: Tensors) -> dict[str, np.ndarray]:
        self.has_begun.set()
        self.may_run.wait()
        self.sizes.append(len(inputs["x"]))
        if key == "broken":
            raise Refused(Code.INVALID_ARGUMENT, "broken")
        return {"y": 2 * inputs["x"]}


def test_those_who_wait_share_a_run() -> None:
    model = Model()
    queue = BatchQueue(model.run, BatchingParameters(max_batch_size=8, num_batch_threads=1))
    first = queue.submit("a", {"x": np.arange(2.0)}, NEVER)
    assert model.has_begun.wait(60)
    others = [queue.submit("a", {"x": np.arange(3.0) + n}, NEVER) for n in range(3)]
    broken = queue.submit("broken", {"x": np.arange(1.0)}, NEVER)
    model.may_run.set()
    assert first.result()["y"].tolist() == [0, 2]
    for n, one in enumerate(others):
        assert one.result()["y"].tolist() == [2 * n, 2 * n + 2, 2 * n + 4]
    with pytest.raises(Refused, match="broken"):
        broken.result()
    queue.close()
    assert model.sizes == [2, 6, 1, 3] or model.sizes == [2, 6, 3, 1]


def test_a_full_queue_and_wrong_sizes_are_refused() -> None:
    model = Model()
    queue = BatchQueue(
        model.run, BatchingParameters(4, max_enqueued_batches=2, num_batch_threads=1)
    )
    accepted = [queue.submit("a", {"x": np.zeros(4)}, NEVER)]
    assert model.has_begun.wait(60)
    accepted += [queue.submit("a", {"x": np.zeros(4)}, NEVER) for _ in range(2)]
    with pytest.raises(Refused) as caught:
        queue.submit("a", {"x": np.zeros(1)}, NEVER)
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    with pytest.raises(Refused, match="Task size 5 is larger than maximum input batch size 4"):
        queue.submit("a", {"x": np.zeros(5)}, NEVER)
    with pytest.raises(Refused, match="must have equal 0th-dimension size"):
        queue.submit("a", {"x": np.zeros(1), "z": np.zeros(2)}, NEVER)
    with pytest.raises(Refused, match="must have at least one dimension"):
        queue.submit("a", {"x": np.zeros(1), "z": np.zeros(())}, NEVER)
    with pytest.raises(Refused, match="must have at least one input tensor"):
        queue.submit("a", {}, NEVER)
    model.may_run.set()
    queue.close()  # What waits is run first.
    assert all(len(one.result()["y"]) == 4 for one in accepted)


def test_who_has_gone_is_not_computed_for() -> None:
    model = Model()
    queue = BatchQueue(model.run, BatchingParameters(num_batch_threads=1))
    queue.submit("a", {"x": np.zeros(1)}, NEVER)
    late = queue.submit("a", {"x": np.zeros(1)}, time.monotonic() - 1)
    model.may_run.set()
    with pytest.raises(Refused) as caught:
        late.result()
    assert caught.value.code is Code.DEADLINE_EXCEEDED
    queue.close()
    assert model.sizes == [1]


def test_who_waits_too_long_is_told_and_the_others_are_answered() -> None:
    model = Model()
    queue = BatchQueue(model.run, BatchingParameters(num_batch_threads=1))
    first = queue.submit("a", {"x": np.zeros(1)}, NEVER)
    assert model.has_begun.wait(60)
    with pytest.raises(Refused) as caught:
        queue.answer("a", {"x": np.zeros(2)}, time.monotonic() + 0.01)
    assert caught.value.code is Code.DEADLINE_EXCEEDED
    other = queue.submit("a", {"x": np.zeros(3)}, NEVER)
    model.may_run.set()
    assert len(first.result()["y"]) == 1
    assert len(other.result()["y"]) == 3
    queue.close()
    assert model.sizes == [1, 3]


def test_a_full_batch_does_not_wait_behind_another_signature() -> None:
    model = Model()
    model.may_run.set()
    queue = BatchQueue(model.run, BatchingParameters(4, batch_timeout_micros=600_000_000))
    alone = queue.submit("a", {"x": np.zeros(1)}, NEVER)
    assert len(queue.submit("b", {"x": np.zeros(4)}, NEVER).result(60)["y"]) == 4
    assert not alone.done()
    queue.close()
    assert len(alone.result()["y"]) == 1


def test_what_fills_a_batch_up_is_in_nobodys_answer() -> None:
    model = Model()
    model.may_run.set()
    queue = BatchQueue(model.run, BatchingParameters(8, allowed_batch_sizes=(4, 8)))
    assert queue.answer("a", {"x": np.arange(3.0)}, NEVER)["y"].tolist() == [0, 2, 4]
    assert queue.answer("a", {"x": np.arange(6.0)}, NEVER)["y"].tolist() == [0, 2, 4, 6, 8, 10]
    queue.close()
    assert model.sizes == [4, 8]


def test_everyone_gets_their_own_from_many_threads() -> None:
    model = Model()
    model.may_run.set()
    parameters = BatchingParameters(16, 1000, max_enqueued_batches=1000, num_batch_threads=2)
    queue = BatchQueue(model.run, parameters)
    faults: list[object] = []

    def ask(number: int) -> None:
        for turn in range(50):
            x = np.full((1 + turn % 5, 2), number * 1000 + turn)
            found = queue.submit("ab"[turn % 2], {"x": x}, NEVER).result()["y"]
            if not np.array_equal(found, 2 * x):
                faults.append(found)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    queue.close()
    assert faults == []
    assert sum(model.sizes) == 8 * 50 * 3
    assert max(model.sizes) <= 16
