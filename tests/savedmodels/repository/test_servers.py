"""What is believed of the answers of servers, and for how long they are waited for."""

from __future__ import annotations

import socket
from types import ModuleType
from typing import Any

import pytest

from savedmodels.repository import servers
from savedmodels.repository.servers import (
    LoadFailed,
    NotYet,
    Watchers,
    failures,
    wait_until_available,
    wait_until_labelled,
)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_pause", lambda: None)


class Scripted:
    """Gives answers in turn; the last for ever."""

    def __init__(self, watching: ModuleType, *answers: tuple[int, Any]) -> None:
        self.server = watching.WatchingServer("unused")
        self.answers = list(answers)
        self.asked: list[str] = []

        def answer(path: str) -> tuple[int, Any]:
            self.asked.append(path)
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

        self.server.answer = answer


def status(state: str, code: str = "OK", message: str = "") -> tuple[int, Any]:
    told = {"error_code": code, "error_message": message}
    return 200, {"model_version_status": [{"version": "2", "state": state, "status": told}]}


NOT_FOUND = (404, {"error": "Could not find version 2 of model m"})


def test_a_version_is_waited_for_until_it_is_available(watching: ModuleType) -> None:
    script = Scripted(
        watching, NOT_FOUND, status("START"), status("LOADING"), (503, []), status("AVAILABLE")
    )
    with script.server.listening(polling=False) as url:
        wait_until_available(Watchers((url + "/",)), "m", 2)
    assert script.asked == ["/v1/models/m/versions/2"] * 5


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (NOT_FOUND, "it answers 404, Could not find version 2 of model m"),
        (status("LOADING"), "version 2 of m is in the state LOADING"),
        (status("END"), "version 2 of m is in the state END"),
        ((200, {}), "it answers 200, of no version"),
        ((500, "no object"), "it answers 500, no JSON object"),
    ],
)
def test_a_server_that_is_not_ready_in_time_is_named(
    watching: ModuleType, answer: tuple[int, Any], told: str
) -> None:
    good, late = Scripted(watching, status("AVAILABLE")), Scripted(watching, answer)
    with (
        good.server.listening(polling=False) as first,
        late.server.listening(polling=False) as second,
        pytest.raises(NotYet) as caught,
    ):
        wait_until_available(Watchers((first, second), seconds=0.05), "m", 2)
    assert str(caught.value) == f"{second} has not in 0.05 s: {told}"


def test_a_server_that_gives_up_is_not_waited_for(watching: ModuleType) -> None:
    script = Scripted(watching, status("END", "DATA_LOSS", "bad file"))
    with (
        script.server.listening(polling=False) as url,
        pytest.raises(LoadFailed, match="version 2 of m cannot be loaded: DATA_LOSS bad file"),
    ):
        wait_until_available(Watchers((url,)), "m", 2)


def test_an_earlier_failure_counts_until_the_server_says_something_else(
    watching: ModuleType,
) -> None:
    failed, loads = status("END", "DATA_LOSS", "bad file"), status("LOADING")
    for answers, wanted in (
        ((failed, failed, failed, loads, status("AVAILABLE")), None),
        ((failed, failed, failed, NOT_FOUND, failed), LoadFailed),
        ((failed,), NotYet),
        ((NOT_FOUND, failed), LoadFailed),
        ((loads, failed), LoadFailed),
    ):
        script = Scripted(watching, *answers)
        with script.server.listening(polling=False) as url:
            watchers = Watchers((url,), seconds=0.05 if wanted is NotYet else 300)
            before = failures(watchers, "m", 2)
            assert (before == {url}) == (answers[0] == failed)
            if wanted is None:
                wait_until_available(watchers, "m", 2, before)
            else:
                with pytest.raises(wanted, match="cannot be loaded: DATA_LOSS bad file"):
                    wait_until_available(watchers, "m", 2, before)


def test_where_nobody_listens_is_waited_for_as_well() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(NotYet, match="it answers nothing"):
            wait_until_available(Watchers((url,), seconds=0), "m", 2)


def test_a_label_is_where_requests_for_it_are_answered(watching: ModuleType) -> None:
    def at(version: str) -> tuple[int, Any]:
        return 200, {"model_spec": {"name": "m", "version": version}, "metadata": {}}

    unknown = (400, {"error": "Unrecognized servable version label: stable"})
    script = Scripted(watching, unknown, at("1"), at("2"))
    with script.server.listening(polling=False) as url:
        wait_until_labelled(Watchers((url,)), "m", {"stable": 2})
    assert script.asked == ["/v1/models/m/labels/stable/metadata"] * 3
    script.answers = [at("1")]
    with (
        script.server.listening(polling=False) as url,
        pytest.raises(NotYet, match="`stable` is version 1 there"),
    ):
        wait_until_labelled(Watchers((url,), seconds=0), "m", {"stable": 2})
