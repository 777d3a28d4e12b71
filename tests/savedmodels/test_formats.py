"""Files for other frameworks: they make the images that the model makes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from savedmodels.formats import FORMATS, write_model

LOAD = """
import sys
import keras
import numpy as np
import layers
for path in sys.argv[1:]:
    model = keras.saving.load_model(path)
    values = list(np.load(f"{path}.npz").values())
    np.save(f"{path}.npy", model(values if len(values) > 1 else values[0]).numpy())
assert not {"pipeline", "savedmodels"} & sys.modules.keys()
"""
Run = Callable[[Path, dict[str, np.ndarray]], np.ndarray]


def on_keras(path: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    values = list(inputs.values())
    images: np.ndarray = keras.saving.load_model(path)(
        values if len(values) > 1 else values[0]
    ).numpy()
    return images.clip(-1, 1)


def on_onnx(path: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == list(inputs)
    assert [each.name for each in session.get_outputs()] == ["images"]
    [images] = session.run(None, inputs)
    return images


def on_tflite(path: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    runtime = pytest.importorskip("ai_edge_litert.interpreter")
    run = runtime.Interpreter(str(path)).get_signature_runner("serving_default")
    assert set(run.get_input_details()) == set(inputs)
    return run(**inputs)["images"]


RUNTIMES: dict[str, Run] = {".keras": on_keras, ".onnx": on_onnx, ".tflite": on_tflite}
FEW = [("stylegan2", 3, ".tflite"), ("progan", 3, ".onnx")]
ALL = [
    (family, classes, suffix)
    for family in ("progan", "stylegan", "stylegan2")
    for classes in (0, 3)
    for suffix in RUNTIMES
]
REST = [pytest.param(*each, marks=pytest.mark.slow) for each in ALL if each not in FEW]


@pytest.mark.parametrize(("family", "classes", "suffix"), [*FEW, *REST])
def test_a_file_makes_the_images_of_the_model(
    restored: Callable[..., Any], tmp_path: Path, family: str, classes: int, suffix: str
) -> None:
    if suffix == ".onnx":
        pytest.importorskip("tf2onnx")
    model = restored(family, classes, 16).model
    path = tmp_path / "deep" / f"model{suffix}"
    write_model(model, path, lineage={"data": "abc"})
    assert json.loads(path.with_name(f"model{suffix}.json").read_text()) == {"data": "abc"}
    assert len(list(path.parent.iterdir())) == 2
    for rows in (1, 5):
        inputs = {"latents": np.random.default_rng(0).normal(size=(rows, 6)).astype(np.float32)}
        if classes:
            inputs["labels"] = np.eye(3, dtype=np.float32)[np.arange(rows) % 3]
        asked = list(inputs.values())
        expected = model(asked if classes else asked[0]).numpy().clip(-1, 1)
        assert expected.std() > 0.1
        np.testing.assert_allclose(RUNTIMES[suffix](path, inputs), expected, atol=5e-5)


@pytest.mark.slow
def test_keras_files_need_nothing_of_ours_but_layers(
    restored: Callable[..., Any], tmp_path: Path
) -> None:
    """In a new process, which imports what docs/serving.md says and nothing else of ours."""
    latents = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    labels = np.eye(3, dtype=np.float32)[np.arange(5) % 3]
    expected = {}
    for family, classes in (
        (family, classes) for family, classes, suffix in ALL if suffix == ".keras"
    ):
        model = restored(family, classes, 16).model
        path = tmp_path / f"{family}-{classes}.keras"
        write_model(model, path, lineage={})
        inputs = {"latents": latents} | ({"labels": labels} if classes else {})
        np.savez(f"{path}.npz", **inputs)
        expected[path] = model(list(inputs.values()) if classes else latents).numpy().clip(-1, 1)
    subprocess.run([sys.executable, "-c", LOAD, *expected], check=True)
    for path, images in expected.items():
        np.testing.assert_allclose(np.load(f"{path}.npy").clip(-1, 1), images, atol=5e-5)


def test_a_file_has_a_known_ending(restored: Callable[..., Any], tmp_path: Path) -> None:
    assert set(FORMATS) == set(RUNTIMES)
    with pytest.raises(
        ValueError, match=r"must end in \.keras, \.onnx, \.tflite\. Received: .*\.h5"
    ):
        write_model(restored("progan", 0, 16).model, tmp_path / "model.h5", lineage={})
    assert list(tmp_path.iterdir()) == []
