"""A version in a repository is the SavedModel that was published, and answers as it does."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.sampling.sampler import latent_sampler
from savedmodels.export import export
from savedmodels.exportable import Exportable
from savedmodels.repository.publisher import Published, publisher_of
from savedmodels.repository.repository import Repository
from savedmodels.repository.versions import About


@pytest.mark.slow
def test_a_published_version_answers_as_its_source_does(tmp_path: Path) -> None:
    inputs = keras.Input((6,), name="latents")
    images = keras.layers.Reshape((2, 2, 3))(keras.layers.Dense(12)(inputs))
    source = export(
        Exportable(latent_sampler(keras.Model(inputs, images))),
        tmp_path / "base",
        7,
        lineage={"images_seen": 7},
    )
    repository = Repository(tmp_path / "models")
    with publisher_of(repository, "faces") as publisher:
        assert publisher.publish(source, About()) == Published(1, new=True)
        assert publisher.publish(source, About()) == Published(1, new=False)
    version = repository.path / "faces" / "1"
    assert repository.publication("faces", 1).lineage["images_seen"] == 7
    latents = tf.random.stateless_normal((3, 6), (1, 2))
    answers = [
        tf.saved_model.load(folder).signatures["serving_default"](latents=latents)["images"]
        for folder in (source, version)
    ]
    np.testing.assert_array_equal(*answers)
    # The fingerprint covers graph and variables, and identifies the export.
    prints = [tf.saved_model.experimental.read_fingerprint(str(f)) for f in (source, version)]
    assert prints[0] == prints[1]
