"""Check which labels and styles a run has, from its files, without loading TensorFlow."""

from __future__ import annotations

from pipeline.errors import UserError
from pipeline.training_run.folder import RunFolder


def labels_of_run(run: RunFolder, count: int, label: str | None) -> list[int]:
    """Return the class index of each of `count` images; empty for a run without labels.

    All images get the class `label`; None cycles through the classes.

    Raises:
        UserError: if the run has no class of that name.
    """
    classes = run.classes()
    if label is not None and label not in classes:
        known = ", ".join(classes) or "none, as the run has no labels"
        raise UserError(f"`--label` must be a class of the run: {known}. Received: {label}")
    if label is not None:
        return [classes.index(label)] * count
    return [index % len(classes) for index in range(count)] if classes else []


def require_styles(run: RunFolder) -> None:
    """Refuse a run whose generator has no styles, with a UserError."""
    network = run.config().network
    if not network.has_styles:
        raise UserError(f"styles need a run of a family that has them. Received: {network.family}")
