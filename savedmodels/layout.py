"""Paths within a SavedModel's folder of the files that GrowGAN adds."""

from __future__ import annotations

from pathlib import Path

EXTRA = Path("assets.extra")
"""Folder for further files, where TensorFlow Serving looks for warm-up requests."""
WARM_UP = EXTRA / "tf_serving_warmup_requests"
"""Requests that TensorFlow Serving runs before a version becomes available."""
GOLDEN = EXTRA / "golden.npz"  # Golden requests and their answers, recorded at export.
LINEAGE = EXTRA / "manifest.json"
"""Manifest with the lineage of the model: data, configuration, code, checkpoint and scores."""
PUBLICATION = EXTRA / "publication.json"
"""Facts that the model repository records when it publishes a version."""
