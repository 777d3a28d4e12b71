"""A label goes back step by step, and what waits for it is taken back first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from savedmodels.repository.errors import RepositoryError
from savedmodels.repository.publisher import Promotion, publisher_of
from savedmodels.repository.repository import Repository
from savedmodels.repository.servers import Watchers

UNWATCHED = Watchers(none=True)
Grow = Callable[..., None]
Promote = Callable[..., Promotion]


def test_going_back_takes_back_what_waits_first(
    repository: Repository, grow: Grow, promote: Promote
) -> None:
    grow(3)
    promote(1)
    promote(2)
    promote(3, Watchers())
    with publisher_of(repository, "faces") as publisher:
        assert publisher.roll_back("stable", Watchers()) == Promotion("stable", 2, moved=True)
        assert publisher.label_state().loaded == {2}
        # Now it goes back, as soon as servers have loaded it; to ask again does not go further.
        for _ in range(2):
            waits = publisher.roll_back("stable", Watchers())
            assert (waits.version, waits.moved) == (1, False)
            assert publisher.label_state().labels == {"stable": 2}
        assert publisher.roll_back("stable", UNWATCHED) == Promotion("stable", 1, moved=True)
        with pytest.raises(RepositoryError, match="Received: faces, which has none"):
            publisher.roll_back("stable", UNWATCHED)
        with pytest.raises(RepositoryError, match="`canary` rolls back only to an earlier version"):
            publisher.roll_back("canary", UNWATCHED)
        publisher.promote("canary", 3, Watchers())
        assert publisher.roll_back("canary", Watchers()) == Promotion("canary", None, moved=True)
