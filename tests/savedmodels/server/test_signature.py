"""What a signature holds requests to."""

from __future__ import annotations

import numpy as np
import pytest

from savedmodels.server.codes import Refused
from savedmodels.server.signature import Signature, TensorInfo, inputs_of, outputs_of

ROWS = TensorInfo("x:0", "float", (None, 2))
SCALAR = TensorInfo("s:0", "float", ())
SIGNATURE = Signature("f", {"a": ROWS, "b": ROWS}, {"y": ROWS, "z": ROWS})


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (
            {},
            "input size does not match signature: 0!=2 len({}) != len({a,b}). "
            "Sent extra: {}. Missing but required: {a,b}.",
        ),
        (
            {"a": 1, "b": 1, "c": 1},
            "input size does not match signature: 3!=2 len({a,b,c}) != len({a,b}). "
            "Sent extra: {c}. Missing but required: {}.",
        ),
        (
            {"a": 1, "c": 1},
            "Signature input alias: b(feed name: x:0) not found in request and no default value "
            "provided. Inputs expected to be in the request {a,c}, or default input alias set: ",
        ),
        ({"a": 1, "b": 5}, "A request must have at most 4 samples. Received: 5"),
    ],
)
def test_inputs_that_do_not_fit(sent: dict[str, int], message: str) -> None:
    with pytest.raises(Refused) as caught:
        inputs_of(SIGNATURE, {n: np.zeros((rows, 2), np.float32) for n, rows in sent.items()}, 4)
    assert caught.value.message == message


def test_inputs_of_another_type() -> None:
    sent = {"a": np.zeros((1, 2), np.float32), "b": np.zeros((1, 2))}
    with pytest.raises(Refused, match=r"^Expects arg\[1\] to be float but double is provided$"):
        inputs_of(SIGNATURE, sent, 4)


def test_outputs_are_those_asked_for() -> None:
    assert outputs_of(SIGNATURE, []) == {"y", "z"}
    assert outputs_of(SIGNATURE, ["z"]) == {"z"}
    with pytest.raises(Refused) as caught:
        outputs_of(SIGNATURE, ["q"])
    assert caught.value.message == (
        "output tensor alias not found in signature: q Outputs expected to be in the set {y,z}."
    )
    with pytest.raises(Refused, match=r"^duplicate output tensor alias: z$"):
        outputs_of(SIGNATURE, ["z", "z"])


OPTIONAL = Signature(
    "f", {"a": ROWS, "b": ROWS, "s": SCALAR}, {"y": ROWS}, {"s": np.array(0.5, np.float32)}
)


def test_defaults_stand_for_what_is_left_out() -> None:
    a, b, s = np.zeros((1, 2), np.float32), np.ones((1, 2), np.float32), np.array(2, np.float32)
    assert inputs_of(OPTIONAL, {"a": a, "b": b}, 4) == {"a": a, "b": b, "s": 0.5}
    assert inputs_of(OPTIONAL, {"a": a, "b": b, "s": s}, 4) == {"a": a, "b": b, "s": s}


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (
            "a",
            "Signature input alias: b(feed name: x:0) not found in request and no default value "
            "provided. Inputs expected to be in the request {a}, or default input alias set: s",
        ),
        (
            "abq",
            "Inputs contains invalid name. Used request inputs: a,b, request input: a,b,q",
        ),
        (
            "abqs",
            "input size does not match signature: 4!=3 len({a,b,q,s}) != len({a,b,s}). "
            "Sent extra: {q}. Missing but required: {}.",
        ),
    ],
)
def test_what_no_default_makes_good(sent: str, message: str) -> None:
    with pytest.raises(Refused) as caught:
        inputs_of(OPTIONAL, dict.fromkeys(sent, np.zeros((1, 2), np.float32)), 4)
    assert caught.value.message == message
