"""What a model brings along is not held to what clients may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow_serving", reason="needs the extra `serve`")

from savedmodels import warmup
from savedmodels.server.codes import Refused
from savedmodels.server.model_manager import Model, ModelSpec
from savedmodels.server.options import Limits, Options
from savedmodels.server.service import Service
from savedmodels.server.versions import State


def test_defaults_and_warm_up_requests_have_no_limit(repository: Path) -> None:
    folder = repository / "toy" / "3"
    (folder / "assets.extra").mkdir()
    x: Any = np.zeros((3, 2), np.float32)
    bias = np.zeros((3, 1), np.float32)
    warmup.write(folder, {"serving_default": {"x": x}, "optional": {"x": x, "bias": bias}})
    service = Service(Options(limits=Limits(request_bytes=3, samples=2)))
    service.models.follow([Model("toy", folder.parent)])
    [health] = service.models.health("toy")
    assert (health.state, health.message) == (State.AVAILABLE, "")
    with pytest.raises(Refused, match=r"^A request must have at most 2 samples. Received: 3$"):
        service.predict(ModelSpec("toy"), "", {"x": x}, (), float("inf"))
    service.models.close()
