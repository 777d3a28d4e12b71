"""A repository, what is published in it, and where labels go."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from savedmodels.repository.publisher import Promotion, publisher_of
from savedmodels.repository.repository import Repository
from savedmodels.repository.servers import Watchers
from savedmodels.repository.versions import About

UNWATCHED = Watchers(none=True)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "models")


@pytest.fixture
def grow(
    repository: Repository, savedmodel: Callable[..., Path], tmp_path: Path
) -> Callable[..., None]:
    """Publish the next versions of `faces`, each with weights of its own."""
    numbers = count(1)

    def publish(versions: int = 1, **about: Any) -> None:
        with publisher_of(repository, "faces") as publisher:
            for _ in range(versions):
                weights = str(next(numbers))
                publisher.publish(savedmodel(tmp_path / weights, weights), About(**about))

    return publish


@pytest.fixture
def promote(repository: Repository) -> Callable[..., Promotion]:
    """Move a label of `faces`, which nobody watches unless it is said."""

    def move(version: int, watchers: Watchers = UNWATCHED, label: Any = "stable") -> Promotion:
        with publisher_of(repository, "faces") as publisher:
            return publisher.promote(label, version, watchers)

    return move
