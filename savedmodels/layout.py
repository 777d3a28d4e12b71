"""Layout of a SavedModel's folder: the files that TensorFlow itself does not write."""

from __future__ import annotations

from pathlib import Path

EXTRA = Path("assets.extra")
"""Folder that TensorFlow copies with the model and where TensorFlow Serving looks for warm-up."""
WARM_UP = EXTRA / "tf_serving_warmup_requests"
"""Requests that TensorFlow Serving runs before a version becomes available."""
GOLDEN = EXTRA / "golden.npz"
"""Golden requests and their answers, recorded at export."""
LINEAGE = EXTRA / "manifest.json"
"""Lineage of the model: data, configuration, code, checkpoint and scores."""
PUBLICATION = EXTRA / "publication.json"
"""Facts that the model repository records about a version."""
