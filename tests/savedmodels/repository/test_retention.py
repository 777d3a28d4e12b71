"""Old versions are removed, but for those that labels or servers need."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

from savedmodels.repository.errors import RepositoryError
from savedmodels.repository.publisher import Promotion, publisher_of
from savedmodels.repository.repository import Repository
from savedmodels.repository.servers import Watchers

Grow = Callable[..., None]
Promote = Callable[..., Promotion]


def test_without_labels_servers_have_one_to_come_from(repository: Repository, grow: Grow) -> None:
    grow(4)
    with publisher_of(repository, "faces") as publisher:
        assert publisher.retain(1) == [1, 2]
        assert publisher.retain(1) == []


def test_only_what_no_label_needs_is_removed(
    repository: Repository, grow: Grow, promote: Promote, watching: ModuleType
) -> None:
    grow(7)
    (repository.path / "faces" / "77").mkdir()  # Not ours.
    promote(1)
    promote(2)
    promote(3)
    promote(5, label="canary")
    promote(6, Watchers())
    with publisher_of(repository, "faces") as publisher:
        with pytest.raises(RepositoryError, match="`keep` must be at least 1"):
            publisher.retain(0)
        # Stable stands at 3, moves to 6, would go back to 2; canary stands at 5.
        assert publisher.retain(1) == [1, 4]
        assert publisher.retain(1) == []
    left = [each.version for each in repository.versions("faces")]
    assert left == [2, 3, 5, 6, 7, 77]
    assert not list(repository.path.rglob(".*.tmp"))
    [told] = watching.parsed(repository.models_config.read_text())
    assert set(told["versions"]) <= set(left)
