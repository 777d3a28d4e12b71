"""Section `gate`: rules for promotion."""

from __future__ import annotations

from typing import Literal

from pipeline.section import Count, Section, Share, Weight

GatedScore = Literal["fid", "kid", "precision", "recall", "memorisation"]


class GateConfig(Section):
    """Rules that a model's scores must keep to be promoted; a rule that is None is not applied.

    Where a score has an interval, its worse end must keep the rule. docs/evaluation.md has the
    rest.
    """

    max_fid: Weight | None = None
    """Greatest FID."""
    max_fid_increase_over_promoted: Weight | None = None
    """Most by which FID may exceed that of the model that is promoted, as a share of it: 0.05
    allows 5 % more, 0 none."""
    max_kid: Weight | None = None
    """Greatest KID."""
    min_precision: Share | None = None
    """Least precision."""
    min_recall: Share | None = None
    """Least recall."""
    max_memorisation: Share | None = None
    """Greatest memorisation."""
    min_images: Count = 10_000
    """Fewest generated images behind each score that a rule asks for."""
    features: str | None = None
    """Name, or identity, of the features that scores must be made with, None for any: bounds mean
    something for one kind of features alone."""
    without_interval: tuple[GatedScore, ...] = ()
    """Scores that may be judged by their value where they have no interval; others fail then."""
