"""Feature networks, which turn images into the vectors that FID and other scores compare."""

from __future__ import annotations

from pipeline.errors import UserError
from pipeline.evaluation.features.network import FeatureNetwork, Features, Images

__all__ = ["FeatureNetwork", "Features", "Images", "open_features"]

KINDS = ("inception:FILE", "keras:NAME[:WEIGHTS]", "classifier:FOLDER", "lenet:FILE")
"""Forms of `evaluation.features`, one for each kind of network."""


def require_kind(spec: str) -> None:
    """Check that the part of `spec` before the colon is a kind of feature network.

    Raises:
        UserError: if it is the kind of none of `KINDS`.
    """
    # Do not look for the weights: the command line calls this before it loads TensorFlow.
    if spec.partition(":")[0] not in {kind.partition(":")[0] for kind in KINDS}:
        raise UserError(f"features must be one of {', '.join(KINDS)}. Received: {spec}")


def open_features(spec: str) -> FeatureNetwork:
    """Open a feature network, given in one of the forms in `KINDS`; docs/evaluation.md has all.

    Raises:
        UserError: if the kind is unknown, or the weights are missing or damaged.

    Example:
        >>> network = open_features("classifier:features/digits")
        >>> network(np.zeros((3, 16, 16, 1), np.uint8)).vectors.shape
        (3, 128)
    """
    require_kind(spec)
    kind, _, rest = spec.partition(":")
    # Import only the chosen network, because each import takes a while.
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
