"""Exports: they stand alone, answer by name, and are written whole or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import NetworkConfig
from pipeline.networks.progan import Generator
from savedmodels.export import LINEAGE, export
from savedmodels.signatures import latents_of_seeds, to_uint8

CONFIG = NetworkConfig(fmap_max=8, latent_size=6)

# Runs far from the project, where none of it can be imported.
CLEAN_LOADER = """
import sys
for name in ("layers", "pipeline", "savedmodels", "keras"):
    sys.modules[name] = None
import numpy as np, tensorflow as tf
folder, source, target = sys.argv[1:]
model = tf.saved_model.load(folder)
inputs = dict(np.load(source))
outputs = {name: signature(**{k: tf.constant(v) for k, v in inputs.items()})["images"].numpy()
           for name, signature in model.signatures.items()}
np.savez(target, **outputs)
"""


def generator(label_size: int = 0, fading: bool = False) -> keras.Model:
    maker = Generator(CONFIG, channels=3, label_size=label_size)
    maker.fade.build([])
    maker.fade.alpha.assign(0.3)
    return maker.model(8, fading=fading)


def answers(folder: Path, inputs: dict[str, Any], tmp_path: Path) -> dict[str, np.ndarray]:
    source, target = tmp_path / "inputs.npz", tmp_path / "outputs.npz"
    np.savez(source, **inputs)
    subprocess.run(
        [sys.executable, "-P", "-c", CLEAN_LOADER, str(folder), str(source), str(target)],
        cwd=tmp_path,
        check=True,
    )
    return dict(np.load(target))


@pytest.mark.parametrize("label_size", [0, 3])
def test_answers_in_a_clean_process_as_the_model_does(tmp_path: Path, label_size: int) -> None:
    model = generator(label_size, fading=True)
    folder = export(model, tmp_path / "model", 7, lineage={"images_seen": 7})
    assert folder == tmp_path / "model" / "7"
    inputs = {"latents": 2 * np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)}
    if label_size:
        inputs["labels"] = np.eye(label_size, dtype=np.float32)[[0, 1, 2, 0, 1]]
    outputs = answers(folder, inputs, tmp_path)
    images = model(list(inputs.values()) if label_size else inputs["latents"]).numpy()
    assert set(outputs) == {"serving_default", "serving_uint8"}
    np.testing.assert_array_equal(outputs["serving_default"], images.clip(-1, 1))
    np.testing.assert_array_equal(outputs["serving_uint8"], to_uint8(images).numpy())
    assert outputs["serving_uint8"].dtype == np.uint8


def test_lineage_is_written_beside_the_model(tmp_path: Path) -> None:
    folder = export(generator(), tmp_path, 1, lineage={"data": "abc"})
    assert json.loads((folder / LINEAGE).read_text()) == {"data": "abc"}


def test_an_existing_version_is_kept(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    assert export(generator(), tmp_path, 1, lineage={}) == tmp_path / "1"
    assert list((tmp_path / "1").iterdir()) == []


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        export(generator(), tmp_path, 1, lineage={"not json": object()})
    assert list(tmp_path.iterdir()) == []


def test_versions_are_not_negative(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Received: version=-1"):
        export(generator(), tmp_path, -1, lineage={})


def test_latents_are_a_function_of_their_own_seed() -> None:
    together = latents_of_seeds([3, 4, 5], 6).numpy()
    alone = np.concatenate([latents_of_seeds([seed], 6).numpy() for seed in (3, 4, 5)])
    np.testing.assert_array_equal(together, alone)
    many = latents_of_seeds(range(2000), 6).numpy()
    assert abs(many.mean()) < 0.05
    assert abs(many.std() - 1) < 0.05


def test_pixels_round_and_clip() -> None:
    floats = tf.constant([-2.0, -1.0, 0.0, 1.0, 3.0, -1 + 1 / 127.5])
    assert to_uint8(floats).numpy().tolist() == [0, 0, 128, 255, 255, 1]
