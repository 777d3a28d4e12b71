"""Write a generator, and its discriminator, as a versioned SavedModel for TensorFlow Serving."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from savedmodels import atomic, golden
from savedmodels.exportable import Exportable
from savedmodels.layout import LINEAGE
from savedmodels.signatures import requests_of, signatures_of


def export(
    exportable: Exportable,
    base: Path,
    version: int,
    *,
    lineage: Mapping[str, Any],
    names: Iterable[str] | None = None,
) -> Path:
    """Write a SavedModel to the folder `base/version` and return it; keep an existing folder.

    The folder appears complete or not at all.

    Args:
        exportable: Models to write, with the values that their weights have now.
        base: Folder of the model, which TensorFlow Serving watches.
        version: Version number, at least 0; GrowGAN uses the number of images seen.
        lineage: Data, configuration, code and checkpoint that the models come from. The manifest
            holds it with the names of the signatures and the limit on images per request.
        names: Names of signatures to write besides `serving_default`; None for all.

    Raises:
        ValueError: if `version` is negative, or a signature is unknown.
        OSError: if the folder cannot be written; no part of it is left behind.
    """
    if version < 0:
        raise ValueError(f"`version` must not be negative. Received: version={version}")
    folder = base / str(version)
    if folder.exists():
        return folder
    signatures = signatures_of(exportable, names)
    archive = keras.export.ExportArchive()
    archive.track(exportable.sampler.model)
    if exportable.discriminator is not None:
        archive.track(exportable.discriminator)
    for name, signature in signatures.items():
        endpoint = signature.endpoint(exportable.limit)
        function = archive.add_endpoint(name, endpoint, input_signature=signature.specs)
        # Sort the variables: TensorFlow orders them by memory address, which varies by run.
        graph = function.get_concrete_function().graph
        graph.variables = sorted(graph.variables, key=lambda variable: variable.name)
    manifest = manifest_of(exportable, signatures, lineage)
    atomic.remove_remains(base, deep=False)
    try:
        with atomic.new_folder(folder) as temporary:
            with contextlib.redirect_stdout(io.StringIO()):  # Hide Keras's list of endpoints.
                _write_out(archive, temporary)
            # Record requests: `growgan verify` compares answers, TensorFlow Serving warms up.
            golden.record(temporary, requests_of(signatures))
            (temporary / LINEAGE).write_text(json.dumps(manifest, indent=2) + "\n")
    except FileExistsError:
        if not folder.exists():
            raise
        # Another process has exported the same version in the meantime.
    return folder


def _write_out(archive: keras.export.ExportArchive, folder: Path) -> None:
    try:
        archive.write_out(str(folder), verbose=False)
    except tf.errors.OpError as error:  # for example, a full disk
        # The message ends with the reason.
        raise OSError(f"{folder}: {error.message.rpartition('; ')[2]}") from error


def manifest_of(
    exportable: Exportable, signatures: Iterable[str], lineage: Mapping[str, Any]
) -> dict[str, Any]:
    """Make the manifest of a version: lineage, names of signatures, limit on images per request."""
    return {**lineage, "signatures": sorted(signatures), "limit": exportable.limit}


def manifest_in(folder: Path) -> dict[str, Any]:
    """Read the manifest in a version's folder; empty if the file is missing or damaged."""
    try:
        content = json.loads((folder / LINEAGE).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
