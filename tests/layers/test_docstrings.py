"""Every example in a docstring of a layer runs and answers as it says."""

import doctest
import importlib
from pathlib import Path

import pytest

import layers

MODULES = sorted(path.stem for path in Path(layers.__path__[0]).glob("[!_]*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    found = doctest.testmod(importlib.import_module(f"layers.{name}"))
    assert found.attempted > 0
    assert found.failed == 0


def test_every_public_layer_has_an_example():
    for name in layers.__all__:
        assert ">>> " in getattr(layers, name).__doc__, name
