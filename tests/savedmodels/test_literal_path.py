"""SavedModels in folders whose names TensorFlow would take for patterns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from savedmodels import golden
from savedmodels.literal_path import literal
from savedmodels.loaders import LOADERS, Names
from savedmodels.server.servable import Servable

NAMES = ("faces [v2]", "[", "]", r"back\slash", r"a\[b", "*", "a?b", "{a,b}", "one [a-z]* ü # %s")


def saved(folder: Path) -> Path:
    module: Any = tf.Module()
    module.weight = tf.Variable(2.0)
    module.double = tf.function(
        lambda x: {"y": module.weight * x}, input_signature=[tf.TensorSpec((), tf.float32, "x")]
    )
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.double})
    return folder


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("loader", LOADERS)
def test_every_loader_restores_what_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, loader: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = saved(Path(name) / "1")
    golden.record(folder, {"serving_default": {"x": 3.0}})
    [recorded] = golden.read(folder / "assets.extra" / "golden.npz").values()
    names = Names({"x": "serving_default_x:0"}, {"y": "StatefulPartitionedCall:0"})
    answer = LOADERS[loader](folder)({"serving_default": names})
    assert float(answer("serving_default", recorded.inputs)["y"]) == 6.0
    assert float(recorded.outputs["y"]) == 6.0


def test_so_does_the_server(tmp_path: Path) -> None:
    servable = Servable(saved(tmp_path / NAMES[0]), seconds=10.0)
    signature = servable.signatures["serving_default"]
    found = servable.run(signature, {"x": np.float32(4.0)}, {"y"})
    servable.close()
    assert float(found["y"]) == 8.0


def test_a_path_that_is_none_is_kept_and_no_folder_is_an_error(tmp_path: Path) -> None:
    with literal(tmp_path / "plain") as path:
        assert path == tmp_path / "plain"
    with pytest.raises(FileNotFoundError, match="absent"), literal(tmp_path / "absent [1]"):
        pass
