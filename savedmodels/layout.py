"""Layout of a SavedModel's folder: the files that TensorFlow itself does not write."""

from __future__ import annotations

from pathlib import Path

EXTRA = Path("assets.extra")
"""TensorFlow copies what lies here, and TensorFlow Serving looks for requests to warm up with."""
WARM_UP = EXTRA / "tf_serving_warmup_requests"
"""Requests that TensorFlow Serving sends to itself before others get an answer."""
GOLDEN = EXTRA / "golden.npz"
"""Requests and the answers that were recorded at export."""
LINEAGE = EXTRA / "manifest.json"
"""What the model was made from."""
PUBLICATION = EXTRA / "publication.json"
"""What the model repository knows of a version."""
