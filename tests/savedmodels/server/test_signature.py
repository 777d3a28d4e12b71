"""What a signature holds requests to."""

from __future__ import annotations

import numpy as np
import pytest

from savedmodels.server.codes import Refused
from savedmodels.server.signature import Signature, TensorInfo, check_inputs, outputs_of

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
            "input tensor alias not found in signature: c. Inputs expected to be in the set {a,b}.",
        ),
        ({"a": 1, "b": 5}, "A request must have at most 4 samples. Received: 5"),
    ],
)
def test_inputs_that_do_not_fit(sent: dict[str, int], message: str) -> None:
    with pytest.raises(Refused) as caught:
        check_inputs(SIGNATURE, {n: np.zeros((rows, 2), np.float32) for n, rows in sent.items()}, 4)
    assert caught.value.message == message


def test_inputs_of_another_type() -> None:
    sent = {"a": np.zeros((1, 2), np.float32), "b": np.zeros((1, 2))}
    with pytest.raises(Refused, match=r"^Expects arg\[1\] to be float but double is provided$"):
        check_inputs(SIGNATURE, sent, 4)


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


def test_only_signatures_of_samples_share_runs() -> None:
    assert SIGNATURE.batched
    for odd in (SCALAR, TensorInfo("x:0", "float", (4, 2)), TensorInfo("x:0", "float", None)):
        assert not Signature("f", {"a": ROWS, "b": odd}, {"y": ROWS}).batched
        assert not Signature("f", {"a": ROWS}, {"y": odd}).batched
    assert not Signature("f", {}, {"y": ROWS}).batched
