"""Labels and styles of a run, as far as its files tell of them."""

from __future__ import annotations

from pipeline.errors import UserError
from pipeline.run_folder import RunFolder


def labels_of_run(run: RunFolder, count: int, label: str | None) -> list[int]:
    """The numbers of so many images' classes: all of one, or in turn; none for a run without.

    Args:
        run: Run with a manifest.
        count: Number of images.
        label: Name of a class.

    Raises:
        UserError: if the label is no class of the run.
    """
    classes = run.manifest()["data"]["classes"] if run.config().data.labels else []
    if label is not None and label not in classes:
        known = ", ".join(classes) or "none, as the run has no labels"
        raise UserError(f"`--label` must be a class of the run: {known}. Received: {label}")
    if label is not None:
        return [classes.index(label)] * count
    return [place % len(classes) for place in range(count)] if classes else []


def require_styles(run: RunFolder) -> None:
    """Refuse a run whose generator has no styles.

    Raises:
        UserError: if it is so, or there is no run.
    """
    network = run.config().network
    if not network.has_styles:
        raise UserError(f"styles need a run of a family that has them. Received: {network.family}")
