"""Batching parameters of a file, and what is refused in it."""

from __future__ import annotations

import os

import pytest

from savedmodels.server.batching import BatchingParameters
from savedmodels.server.batching_file import read
from savedmodels.server.codes import Refused


def test_a_file_says_all_of_it() -> None:
    text = """
    max_batch_size { value: 8 }  # of samples
    batch_timeout_micros { value: 2000 }
    max_enqueued_batches { value: 64 }
    num_batch_threads { value: 2 }
    allowed_batch_sizes: 4
    allowed_batch_sizes: 8
    """
    assert read(text) == BatchingParameters(
        8, 2000, max_enqueued_batches=64, num_batch_threads=2, allowed_batch_sizes=(4, 8)
    )


def test_what_is_left_out_is_as_in_tensorflow_serving() -> None:
    parameters = read("")
    assert parameters == BatchingParameters()
    processors = len(os.sched_getaffinity(0))
    assert parameters == BatchingParameters(1000, 0, 10, num_batch_threads=processors)
    named = read('thread_pool_name { value: "a" } pad_variable_length_inputs: false')
    assert named == BatchingParameters()
    # A wrapper without a value holds 0.
    assert read("batch_timeout_micros {}").batch_timeout_micros == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size { value: 0 }", "`max_batch_size` must be at least 1. Received: 0"),
        ("num_batch_threads {}", "`num_batch_threads` must be at least 1. Received: 0"),
        (
            "batch_timeout_micros { value: -1 }",
            "`batch_timeout_micros` must be at least 0. Received: -1",
        ),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 2 allowed_batch_sizes: 4",
            "`allowed_batch_sizes` must increase from at least 1 to `max_batch_size`, which is 8. "
            "Received: 2, 4",
        ),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: [4, 2, 8]",
            "`allowed_batch_sizes` must increase from at least 1 to `max_batch_size`, which is 8. "
            "Received: 4, 2, 8",
        ),
        (
            "allowed_batch_sizes: [0, 1000]",
            "`allowed_batch_sizes` must increase from at least 1 to `max_batch_size`, which is "
            "1000. Received: 0, 1000",
        ),
        (
            "pad_variable_length_inputs: true",
            "`pad_variable_length_inputs` must be false. Received: true",
        ),
        (
            "max_batchsize { value: 1 }",
            "a batching parameters file must be a BatchingParameters message. Received: 1:1 : "
            'Message type "tensorflow.serving.BatchingParameters" has no field named '
            '"max_batchsize".',
        ),
        (
            "max_batch_size: 1",
            "a batching parameters file must be a BatchingParameters message. Received: 1:17 : "
            "'max_batch_size: 1': Expected \"{\".",
        ),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(Refused) as caught:
        read(text)
    assert caught.value.message == message
