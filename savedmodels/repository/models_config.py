"""Text of `models.config`, which tells TensorFlow Serving what models and versions to load."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

MODELS_CONFIG = "models.config"


@dataclass(frozen=True)
class ServedModel:
    """Entry of one model in models.config."""

    name: str
    base_path: str  # Absolute path of the model's folder, as servers see it.
    versions: Collection[int]  # Versions to load; empty to load only the newest, whichever that is.
    labels: Mapping[str, int]
    """Version by label; servers accept only labels of versions they have loaded."""


def model_config_text(models: Iterable[ServedModel]) -> str:
    """Format the models as a `ModelServerConfig` in protobuf's text format."""
    # Format by hand, so that publishing does not need the package tensorflow-serving-api.
    lines = (f"  {line}" for model in models for line in _model_lines(model))
    comment = "# Written by `growgan publish`, which overwrites changes made by hand."
    return "\n".join([comment, "model_config_list {", *lines, "}"]) + "\n"


def _model_lines(model: ServedModel) -> Iterator[str]:
    yield "config {"
    yield f"  name: {_quote(model.name)}"
    yield f"  base_path: {_quote(model.base_path)}"
    yield '  model_platform: "tensorflow"'
    versions = " ".join(f"versions: {version}" for version in sorted(model.versions))
    policy = f"specific {{ {versions} }}" if versions else "latest { num_versions: 1 }"
    yield f"  model_version_policy {{ {policy} }}"
    for label, version in sorted(model.labels.items()):
        yield f"  version_labels {{ key: {_quote(label)} value: {version} }}"
    yield "}"


def _quote(text: str) -> str:
    """Quote a string; bytes other than plain ASCII characters become octal escapes."""
    content = os.fsencode(text)  # A path may contain bytes that are not UTF-8.
    plain = (chr(b) if 32 <= b < 127 and b not in b"\"\\'" else f"\\{b:03o}" for b in content)
    return f'"{"".join(plain)}"'
