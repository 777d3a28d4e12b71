import os
import time
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data import workers
from pipeline.data.sources import Source, open_source
from pipeline.data.workers import map_in_chunks
from pipeline.errors import UserError

pytestmark = pytest.mark.usefixtures("forked")


RUN = 64


def names(source: Source, numbers: Sequence[int]) -> tuple[int, list[str]]:
    time.sleep(0.02)  # so that no process does everything before the next has started
    return os.getpid(), [source[number].name for number in numbers]


def levels(source: Source, numbers: Sequence[int]) -> set[int]:
    return {source[number].read().getpixel((0, 0)) for number in numbers}


def die(survivor: int, source: Source, numbers: Sequence[int]) -> int:
    return survivor if os.getpid() == survivor else os._exit(1)


class Deadly:
    """Ends the process that sends it."""

    def __reduce__(self) -> str:
        os._exit(1)


def send_half(survivor: int, source: Source, numbers: Sequence[int]) -> object:
    return None if os.getpid() == survivor else [bytes(1_000_000), Deadly()]


def fail(survivor: int, source: Source, numbers: Sequence[int]) -> None:
    print("a library talks")
    if os.getpid() != survivor:
        raise UserError("a rule")


@pytest.fixture
def worth_sharing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "WORTH_SHARING", -1)


def shared(spec: str, work: Callable[..., Any], workers: int | None) -> Generator[Any]:
    source = open_source(spec)
    return map_in_chunks(spec, source, work, range(len(source)), size=RUN, workers=workers)


def runs(results: list[tuple[int, list[str]]]) -> list[list[str]]:
    return [names for _, names in results]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("workers") / "many.npy"
    np.save(path, np.zeros((1000, 8, 8), np.uint8))
    return str(path)


@pytest.fixture(scope="module")
def alone(spec: str) -> list[tuple[int, list[str]]]:
    return list(shared(spec, names, 1))


def test_every_picture_comes_once_and_in_order(spec: str, alone) -> None:
    every = [picture.name for picture in open_source(spec)]
    assert runs(alone) == [every[start : start + RUN] for start in range(0, len(every), RUN)]
    assert {process for process, _ in alone} == {os.getpid()}


@pytest.mark.usefixtures("worth_sharing")
def test_processes_share_the_work_and_change_nothing(spec: str, alone) -> None:
    results = list(shared(spec, names, 2))
    assert runs(results) == runs(alone)
    (first, _), *others = results
    assert first == os.getpid()
    assert len({process for process, _ in others} - {first}) == 2


def test_little_work_is_not_shared(spec: str, alone) -> None:
    assert list(shared(spec, names, None)) == alone


@pytest.mark.usefixtures("worth_sharing")
def test_work_that_is_given_up_can_be_begun_again(spec: str, alone) -> None:
    results = shared(spec, names, 2)
    next(results), next(results)
    results.close()
    assert runs(list(shared(spec, names, 2))) == runs(alone)


@pytest.mark.usefixtures("worth_sharing")
def test_files_may_change_between_two_passes(tmp_path: Path) -> None:
    for level in (1, 2):
        np.save(tmp_path / "x.npy", np.full((200, 4, 4), level, np.uint8))
        spec = str(tmp_path / "x.npy")
        assert set().union(*shared(spec, levels, 2)) == {level}


@pytest.mark.usefixtures("worth_sharing")
@pytest.mark.parametrize("work", [die, send_half])
def test_a_killed_worker_is_told(spec: str, work: Callable[..., object]) -> None:
    with pytest.raises(UserError, match="one of 2 that was killed"):
        list(shared(spec, partial(work, os.getpid()), 2))


@pytest.mark.usefixtures("worth_sharing")
def test_what_a_worker_raises_is_raised_here(spec: str) -> None:
    with pytest.raises(UserError, match=r"^a rule$"):
        list(shared(spec, partial(fail, os.getpid()), 2))
