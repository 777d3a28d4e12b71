"""Section `gate` of the configuration: bounds on the scores of a model to promote."""

from __future__ import annotations

from typing import Literal

from pipeline.section import Count, Section, Share, Weight

GatedScore = Literal["fid", "kid", "precision", "recall", "memorisation"]


class GateConfig(Section):
    """Rules that the scores of a model must pass before it is promoted; None disables a rule.

    If a score has a 95 % interval, its worse end must pass. docs/evaluation.md has the details.
    """

    max_fid: Weight | None = None
    """Maximum FID."""
    max_fid_increase_over_promoted: Weight | None = None
    """Maximum increase of FID over the promoted model, as a share: 0.05 allows 5 %, 0 none."""
    max_kid: Weight | None = None
    """Maximum KID."""
    min_precision: Share | None = None
    """Minimum precision."""
    min_recall: Share | None = None
    """Minimum recall."""
    max_memorisation: Share | None = None
    """Maximum memorisation."""
    min_images: Count = 10_000
    """Minimum number of generated images for each score in a rule."""
    features: str | None = None
    """Name or identity of the features that scores must use, None for any. Set it with a bound: a
    bound is only valid for one kind of features."""
    without_interval: tuple[GatedScore, ...] = ()
    """Scores that pass or fail by their value if they have no interval; others then fail."""
