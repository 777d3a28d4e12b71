"""Lazy regularisation: the updates in which a regulariser is due, and corrected Adam constants.

A regulariser with `every = k` is applied in every k-th update, times k, in an Adam update of its
own. So Adam makes k + 1 updates instead of k, which the constants correct.
Source: arXiv:1912.04958, appendix B.
"""

from __future__ import annotations


def is_due(update: int, every: int) -> bool:
    """Return true if a lazy regulariser is due in this update."""
    # `update` is `images_seen // batch_size`, as if all updates before it had had the same batch
    # size: a function of the clock only, so that a resumed run equals an uninterrupted one.
    return update % every == 0


def adam_constants(
    rate: float, beta_1: float, beta_2: float, *, every: int
) -> tuple[float, float, float]:
    """Correct Adam's constants: `(c · rate, β₁^c, β₂^c)` with `c = k / (k + 1)` and k = `every`."""
    # With k = 1 the regulariser is part of the loss and has no update of its own.
    if every == 1:
        return rate, beta_1, beta_2
    share = every / (every + 1)
    return rate * share, beta_1**share, beta_2**share
