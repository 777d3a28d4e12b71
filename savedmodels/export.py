"""Writing a generator as a versioned SavedModel that TensorFlow Serving takes as it is."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from savedmodels import atomic
from savedmodels.signatures import input_specs, signatures_of

LINEAGE = Path("assets.extra", "manifest.json")


def export(generator: keras.Model, base: Path, version: int, *, lineage: Mapping[str, Any]) -> Path:
    """Write `base/version`, whole or not at all, and return it; an existing version is kept.

    Args:
        generator: Latents, or latents and labels, to images; a value such as the fade's alpha is
            baked in as it stands.
        base: Folder of the model, which TensorFlow Serving watches.
        version: A number that grows; GrowGAN uses the images seen.
        lineage: What the model was made from, written beside it as JSON.

    Raises:
        ValueError: if `version` is negative.
        OSError: if it cannot be written; nothing is left behind.
    """
    if version < 0:
        raise ValueError(f"`version` must not be negative. Received: version={version}")
    folder = base / str(version)
    if folder.exists():
        return folder
    specs = input_specs(generator)
    archive = keras.export.ExportArchive()
    archive.track(generator)
    for name, function in signatures_of(generator).items():
        archive.add_endpoint(name, function, input_signature=specs)
    with atomic.new_folder(folder) as temporary:
        with contextlib.redirect_stdout(io.StringIO()):  # Keras prints a description of endpoints.
            archive.write_out(str(temporary), verbose=False)
        manifest = temporary / LINEAGE
        manifest.parent.mkdir(exist_ok=True)
        manifest.write_text(json.dumps(lineage, indent=2) + "\n")
    return folder
