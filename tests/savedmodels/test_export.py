"""Exports: they stand alone, answer by name, and are written whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.families.progan.config import ProGANConfig
from pipeline.families.progan.networks import Generator
from pipeline.sampling.sampler import latent_sampler
from savedmodels import golden
from savedmodels.export import export, manifest_in
from savedmodels.exportable import Exportable
from savedmodels.layout import LINEAGE
from savedmodels.seeds import to_uint8

# Runs far from the project, where none of it can be imported.
CLEAN_LOADER = """
import sys
for name in ("layers", "pipeline", "savedmodels", "keras"):
    sys.modules[name] = None
import numpy as np, tensorflow as tf
for folder in sys.argv[1:]:
    model = tf.saved_model.load(folder)
    inputs = dict(np.load(f"{folder}.inputs.npz"))
    signature = model.signatures["serving_default"]
    outputs = signature(**{name: tf.constant(value) for name, value in inputs.items()})
    images = outputs["images"].numpy()
    np.savez(f"{folder}.outputs.npz", images=images, names=sorted(model.signatures))
"""


def generator(label_size: int = 0, fading: bool = False) -> keras.Model:
    maker = Generator(ProGANConfig(fmap_max=8, latent_size=6), channels=3, label_size=label_size)
    maker.fade.build([])
    maker.fade.alpha.assign(0.3)
    return maker.model(8, fading=fading)


@pytest.fixture(name="small", scope="module")
def _small() -> Exportable:
    return Exportable(latent_sampler(generator()), limit=20)


@pytest.mark.slow
def test_answers_in_a_clean_process_as_the_models_do(tmp_path: Path) -> None:
    expected = {}
    for label_size in (0, 3):
        model = generator(label_size, fading=True)
        base = tmp_path / str(label_size)
        folder = export(Exportable(latent_sampler(model)), base, 7, lineage={}, names=["generate"])
        assert folder == base / "7"
        inputs = {"latents": 2 * np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)}
        if label_size:
            inputs["labels"] = np.eye(label_size, dtype=np.float32)[[0, 1, 2, 0, 1]]
        np.savez(f"{folder}.inputs.npz", **inputs)
        images = model(list(inputs.values()) if label_size else inputs["latents"]).numpy()
        expected[folder] = images.clip(-1, 1)
    subprocess.run([sys.executable, "-P", "-c", CLEAN_LOADER, *expected], cwd=tmp_path, check=True)
    for folder, images in expected.items():
        outputs = np.load(f"{folder}.outputs.npz")
        np.testing.assert_array_equal(outputs["images"], images)
        assert outputs["names"].tolist() == ["generate", "serving_default"]


def test_the_manifest_has_lineage_signatures_and_limit(small: Exportable, tmp_path: Path) -> None:
    folder = export(small, tmp_path, 1, lineage={"data": "abc"}, names=["interpolate"])
    names = ["interpolate", "serving_default"]
    assert manifest_in(folder) == {"data": "abc", "signatures": names, "limit": 20}
    loaded = tf.saved_model.load(str(folder)).signatures
    assert sorted(loaded) == names
    way = {"seed": tf.constant(1, tf.int64), "to_seed": tf.constant(2, tf.int64)}
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`steps` must be 1 to 20\."):
        loaded["interpolate"](**way, steps=tf.constant(21, tf.int64))


def test_an_existing_version_is_kept(small: Exportable, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    assert export(small, tmp_path, 1, lineage={}) == tmp_path / "1"
    assert list((tmp_path / "1").iterdir()) == []


def test_a_version_that_another_process_exports_meanwhile_is_kept(
    small: Exportable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = golden.record

    def other_first(folder: Path, requests: Any) -> None:
        (tmp_path / "1").mkdir()
        record(folder, requests)

    (tmp_path / ".1.0123abcd.tmp").mkdir()  # Of one that was killed.
    monkeypatch.setattr(golden, "record", other_first)
    assert export(small, tmp_path, 1, lineage={}, names=[]) == tmp_path / "1"
    assert [*tmp_path.rglob("*")] == [tmp_path / "1"]


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_what_is_no_manifest_tells_nothing(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / LINEAGE).parent.mkdir()
        (tmp_path / LINEAGE).write_text(content)
    assert manifest_in(tmp_path) == {}


def test_a_failed_export_leaves_nothing(small: Exportable, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        export(small, tmp_path, 1, lineage={"not json": object()}, names=[])
    assert list(tmp_path.iterdir()) == []


def test_versions_are_not_negative(small: Exportable, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Received: version=-1"):
        export(small, tmp_path, -1, lineage={})


def test_pixels_round_and_clip() -> None:
    floats = tf.constant([-2.0, -1.0, 0.0, 1.0, 3.0, -1 + 1 / 127.5])
    assert to_uint8(floats).numpy().tolist() == [0, 0, 128, 255, 255, 1]
