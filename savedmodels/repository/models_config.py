"""Write `models.config`, from which TensorFlow Serving takes models, versions and labels."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

MODELS_CONFIG = "models.config"


@dataclass(frozen=True)
class ServedModel:
    """Entry of one model in models.config."""

    name: str
    base_path: str
    """Absolute path of the model's folder, as servers see it."""
    versions: Collection[int]
    """Versions to load; empty for whatever is newest."""
    labels: Mapping[str, int]
    """Version of each label; servers accept labels of loaded versions only."""


def model_config_text(models: Iterable[ServedModel]) -> str:
    """Write a `ModelServerConfig` in protobuf's text format."""
    # By hand, so that a repository needs no package of TensorFlow Serving.
    lines = (f"  {line}" for model in models for line in _lines(model))
    comment = "# Written by `growgan publish`, which overwrites changes made by hand."
    return "\n".join([comment, "model_config_list {", *lines, "}"]) + "\n"


def _lines(model: ServedModel) -> Iterator[str]:
    yield "config {"
    yield f"  name: {_quoted(model.name)}"
    yield f"  base_path: {_quoted(model.base_path)}"
    yield '  model_platform: "tensorflow"'
    versions = " ".join(f"versions: {version}" for version in sorted(model.versions))
    policy = f"specific {{ {versions} }}" if versions else "latest { num_versions: 1 }"
    yield f"  model_version_policy {{ {policy} }}"
    for label, version in sorted(model.labels.items()):
        yield f"  version_labels {{ key: {_quoted(label)} value: {version} }}"
    yield "}"


def _quoted(text: str) -> str:
    """Write a string literal, with all but plain characters as octal escapes."""
    content = os.fsencode(text)  # Paths may hold bytes that are not UTF-8.
    plain = (chr(b) if 32 <= b < 127 and b not in b"\"\\'" else f"\\{b:03o}" for b in content)
    return f'"{"".join(plain)}"'
