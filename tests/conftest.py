"""What every test stands on: quiet frameworks, a fixed seed, and the folder of shared material."""

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

# The same examples every time; HYPOTHESIS_PROFILE=default looks for new ones, as every night.
settings.register_profile("same", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
# Read when TensorFlow, Keras and JAX are first imported, which is after this file.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# The CPU gives the same numbers everywhere. To test a GPU: CUDA_VISIBLE_DEVICES=0 pytest -m gpu
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# A script has what it starts by `&` ignore SIGINT; tests and the programs they start do not.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
pytest_plugins = [
    "tests.costs",
    "tests.guard",
    "tests.scheduling",
    "tests.forking.fixtures",
    "tests.jax_process.fixtures",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with a reason, what needs a GPU where none is visible."""
    if os.environ["CUDA_VISIBLE_DEVICES"] in ("", "-1"):
        hidden = pytest.mark.skip(reason="needs a GPU: set CUDA_VISIBLE_DEVICES to one")
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(hidden)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Seed Python, NumPy and TensorFlow, in tests that use Keras: others need not wait for it."""
    if keras := sys.modules.get("keras"):
        keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder with image sets and reference outputs, which is no part of the project.

    It lies beside the project as `shared`, or where the environment variable GROWGAN_SHARED says.
    """
    folder = Path(os.environ.get("GROWGAN_SHARED") or ROOT.parent / "shared")
    if not folder.is_dir():
        pytest.skip("shared/ is not beside the project, and GROWGAN_SHARED names no folder")
    return folder


@pytest.fixture(scope="session")
def watching() -> ModuleType:
    """The module of a server that watches a model repository."""
    spec = importlib.util.spec_from_file_location(
        "watching_server", Path(__file__).with_name("watching_server.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def savedmodel() -> Callable[..., Path]:
    """Make a folder like that of a SavedModel, which TensorFlow could not load."""

    def make(path: Path, weights: str = "w", **lineage: object) -> Path:
        for name, content in (
            ("saved_model.pb", "graph"),
            ("fingerprint.pb", str(path)),
            ("variables/variables.index", "index"),
            ("variables/variables.data-00000-of-00001", weights),
            ("assets.extra/tf_serving_warmup_requests", "requests"),
            ("assets.extra/manifest.json", json.dumps(lineage)),
        ):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(content)
        return path

    return make
