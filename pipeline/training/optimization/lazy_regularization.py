"""Lazy regularisation: the updates in which a regulariser is due, and corrected Adam constants.

A regulariser with `every = k` is multiplied by k and applied in every k-th update, by an Adam step
of its own. So Adam makes k + 1 steps instead of k, and its constants are corrected for that.
Source: arXiv:1912.04958, appendix B.
"""

from __future__ import annotations


def is_due(update: int, every: int) -> bool:
    """Return true if a lazy regulariser is due in update number `update`, counted from 0."""
    # Callers compute the number from `images_seen`, as if the batch size had never changed. So it
    # needs no counter, and a resumed run equals an uninterrupted one.
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
