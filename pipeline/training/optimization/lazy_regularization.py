"""Lazy regularisation: which updates pay a regulariser, and Adam's constants that allow for it.

A regulariser with `every = k` is paid once in k updates, k times over, in an Adam update of its
own: Adam then updates k + 1 times where it would have k times.
Source: arXiv:1912.04958, appendix B.
"""

from __future__ import annotations


def is_due(update: int, every: int) -> bool:
    """Return whether a lazy regulariser is due in this update; a function of the clock alone.

    Args:
        update: Number of the update, counted from the start of the run as if every update before
            it had had the batch size of this one: `images_seen // batch_size`.
        every: Updates between two that pay.
    """
    return update % every == 0


def adam_constants(
    rate: float, beta_1: float, beta_2: float, *, every: int
) -> tuple[float, float, float]:
    """`(c · rate, β₁^c, β₂^c)`, `c = k / (k + 1)`, for k = `every`; unchanged for 1.

    With k = 1 the regulariser is part of the loss, and takes no update of its own.
    """
    if every == 1:
        return rate, beta_1, beta_2
    share = every / (every + 1)
    return rate * share, beta_1**share, beta_2**share
