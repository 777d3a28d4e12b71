"""What a signature holds requests to."""

from __future__ import annotations

import numpy as np
import pytest

from savedmodels.server.codes import Code, Refused
from savedmodels.server.signature import SignatureInfo, TensorInfo, choose_outputs, complete_inputs

ROWS = TensorInfo("x:0", "float", (None, 2))
SCALAR = TensorInfo("s:0", "float", ())
SIGNATURE = SignatureInfo("f", {"a": ROWS, "b": ROWS}, {"y": ROWS, "z": ROWS})


@pytest.mark.parametrize(
    ("sent", "end"),
    [
        ({}, "Sent extra: []. Missing but required: ['a', 'b']."),
        ({"a": 1, "b": 1, "c": 1}, "Sent extra: ['c']. Missing but required: []."),
        ({"a": 1, "c": 1}, "Sent extra: ['c']. Missing but required: ['b']."),
    ],
)
def test_inputs_that_do_not_fit(sent: dict[str, int], end: str) -> None:
    with pytest.raises(Refused, match=r"^input size does not match signature\. ") as caught:
        complete_inputs(
            SIGNATURE, {n: np.zeros((rows, 2), np.float32) for n, rows in sent.items()}, 4
        )
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert caught.value.message.endswith(end)


def test_too_many_samples() -> None:
    sent = {"a": np.zeros((1, 2), np.float32), "b": np.zeros((5, 2), np.float32)}
    with pytest.raises(Refused, match=r"^A request must have at most 4 samples. Received: 5$"):
        complete_inputs(SIGNATURE, sent, 4)


def test_inputs_of_another_type() -> None:
    sent = {"a": np.zeros((1, 2), np.float32), "b": np.zeros((1, 2))}
    with pytest.raises(Refused, match=r"^Expects arg b to be float but double is provided$"):
        complete_inputs(SIGNATURE, sent, 4)


def test_outputs_are_those_asked_for() -> None:
    assert choose_outputs(SIGNATURE, []) == {"y", "z"}
    assert choose_outputs(SIGNATURE, ["z"]) == {"z"}
    with pytest.raises(Refused, match=r"^output tensor alias not found in signature: q "):
        choose_outputs(SIGNATURE, ["q"])
    with pytest.raises(Refused, match=r"^duplicate output tensor alias: z$"):
        choose_outputs(SIGNATURE, ["z", "z"])


OPTIONAL = SignatureInfo(
    "f", {"a": ROWS, "b": ROWS, "s": SCALAR}, {"y": ROWS}, {"s": np.array(0.5, np.float32)}
)


def test_defaults_stand_for_what_is_left_out() -> None:
    a, b, s = np.zeros((1, 2), np.float32), np.ones((1, 2), np.float32), np.array(2, np.float32)
    assert complete_inputs(OPTIONAL, {"a": a, "b": b}, 4) == {"a": a, "b": b, "s": 0.5}
    assert complete_inputs(OPTIONAL, {"a": a, "b": b, "s": s}, 4) == {"a": a, "b": b, "s": s}


@pytest.mark.parametrize(
    ("sent", "end"),
    [
        ("a", "Sent extra: []. Missing but required: ['b']."),
        ("abq", "Sent extra: ['q']. Missing but required: []."),
        ("abqs", "Sent extra: ['q']. Missing but required: []."),
    ],
)
def test_what_no_default_makes_good(sent: str, end: str) -> None:
    with pytest.raises(Refused) as caught:
        complete_inputs(OPTIONAL, dict.fromkeys(sent, np.zeros((1, 2), np.float32)), 4)
    assert caught.value.message.endswith(end)
