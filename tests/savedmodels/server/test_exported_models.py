"""Exported models behind a real server, against calling them without one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from tests.savedmodels.server.clients import request_of, stub

pytestmark = pytest.mark.slow


def test_defaults_and_batches_of_a_real_model(
    tmp_path: Path, start: Any, served: Callable[..., Any]
) -> None:
    """The model of styles and labels has every kind of default."""
    model = served("stylegan", 3)
    base = model.folder.parent
    parameters = tmp_path / "batching.config"
    parameters.write_text(
        "max_batch_size { value: 8 } num_batch_threads { value: 1 } allowed_batch_sizes: 8"
    )

    def request(signature: str, **inputs: Any) -> Any:
        asked = request_of(signature, **inputs)
        asked.model_spec.name = base.name
        return asked

    def images(client: Any, signature: str, **inputs: Any) -> Any:
        return tf.make_ndarray(client.Predict(request(signature, **inputs)).outputs["images"])

    defaults = {"count": np.int64(1), "label": np.int64(-1), "truncation": np.float32(1)}
    latents = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    rows = {"latents": latents, "label": np.arange(4) % 3}
    ones = np.ones(4, np.float32)
    seed = np.int64(9)
    cold = "--no-enable-model-warmup"  # Only what is asked here is worth the seconds.
    with start(base, cold) as server, stub(server) as client:
        left_out = images(client, "generate", seed=seed)
        np.testing.assert_array_equal(left_out, images(client, "generate", seed=seed, **defaults))
        assert left_out.shape == (1, 8, 8, 3)
        alone = images(client, "serving_default_by_index", **rows)
        given = images(client, "serving_default_by_index", **rows, truncation=ones)
        np.testing.assert_array_equal(alone, given)
        with pytest.raises(grpc.RpcError) as caught:
            images(client, "generate", count=np.int64(1))
        assert caught.value.details().endswith("Missing but required: ['seed'].")
        asked = {"signature_name": "generate", "inputs": {"seed": 9}}
        missing = "Missing named input: count in 'inputs' object."
        assert server.predict(base.name, asked).error == missing
    # A warm-up would fail: its requests to `generate` have single numbers too.
    batching = ("--enable-batching", "--batching-parameters-file", str(parameters), cold)
    with start(base, *batching) as server, stub(server) as client:
        together = images(client, "serving_default_by_index", **rows, truncation=ones)
        np.testing.assert_allclose(together, alone, atol=1e-4)
        for signature, inputs, message in (
            ("generate", {"seed": seed}, "must have at least one dimension"),
            ("serving_default_by_index", rows, "must have equal 0th-dimension size"),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                images(client, signature, **inputs)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert caught.value.details() == f"Batching Run() input tensors {message}"


def test_an_exported_generator_answers_as_it_does_without_a_server(
    tmp_path: Path, start: Any, served: Callable[..., Any]
) -> None:
    folder = served("progan", 0).folder
    shutil.copytree(folder, tmp_path / "repository" / "8x8" / "7")
    latents = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    direct = tf.saved_model.load(str(folder)).signatures["serving_default"]
    expected = direct(latents=tf.constant(latents))["images"].numpy()
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "8x8"
    request.inputs["latents"].CopyFrom(tf.make_tensor_proto(latents))
    with start(tmp_path / "repository") as server, stub(server) as client:
        over_grpc = tf.make_ndarray(client.Predict(request).outputs["images"])
        over_rest = server.predict("8x8", {"instances": latents.tolist()}).json["predictions"]
        answer = server.predict("8x8", {"instances": [[1, 2, 3]]})
    np.testing.assert_array_equal(over_grpc, expected)
    np.testing.assert_array_equal(np.array(over_rest, np.float32), expected)
    assert answer.status == 400
    assert "`latents` must have the shape (rows, 6). Received: the shape [1 3]" in answer.error
