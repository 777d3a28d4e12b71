"""Modules that must stay light."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.new_interpreter
@pytest.mark.parametrize("module", ["pipeline.cli", "pipeline.loading", "pipeline.schedule"])
def test_importing_it_does_not_import_tensorflow_or_keras(module: str) -> None:
    code = f"import sys, {module}; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
