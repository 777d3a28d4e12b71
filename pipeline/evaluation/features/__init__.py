"""Networks for features of images, and the choice among them."""

from __future__ import annotations

from pipeline.errors import UserError
from pipeline.evaluation.features.network import FeatureNetwork, Features, Images

__all__ = ["FeatureNetwork", "Features", "Images", "open_features"]

KINDS = ("inception:FILE", "keras:NAME[:WEIGHTS]", "classifier:FOLDER", "lenet:FILE")


def require_kind(spec: str) -> None:
    """Refuse a name that is not of a feature network.

    Raises:
        UserError: if it is not one of `KINDS`.
    """
    # Weights are not looked for: the command line asks before it starts TensorFlow.
    if spec.partition(":")[0] not in {kind.partition(":")[0] for kind in KINDS}:
        raise UserError(f"features must be one of {', '.join(KINDS)}. Received: {spec}")


def open_features(spec: str) -> FeatureNetwork:
    """Open the feature network that a name of `KINDS` means; docs/evaluation.md describes them.

    Raises:
        UserError: if it is none of these, or its weights are missing or damaged.

    Example:
        >>> network = open_features("classifier:features/digits")
        >>> network(np.zeros((3, 16, 16, 1), np.uint8)).vectors.shape
        (3, 128)
    """
    require_kind(spec)
    kind, _, rest = spec.partition(":")
    # Imported only when chosen, because each takes a while.
    if kind == "inception":
        from pipeline.evaluation.features.inception import open_inception

        return open_inception(rest)
    if kind == "keras":
        from pipeline.evaluation.features.applications import open_application

        return open_application(rest)
    if kind == "classifier":
        from pipeline.evaluation.features.classifier import open_classifier

        return open_classifier(rest)
    from pipeline.evaluation.features.lenet import open_lenet

    return open_lenet(rest)
