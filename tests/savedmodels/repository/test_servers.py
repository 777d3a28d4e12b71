"""What is believed of the answers of servers, and for how long they are waited for."""

from __future__ import annotations

import http.client
import socket
from types import ModuleType
from typing import Any

import pytest

from savedmodels.access import TOKEN_VARIABLE
from savedmodels.repository import servers
from savedmodels.repository.servers import (
    LoadFailed,
    NotYet,
    Watchers,
    failures,
    request_to,
    server_url,
    wait_until_available,
    wait_until_labelled,
)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "POLL_SECONDS", 0)
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


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
        ((200, {}), "it answers 200, without a version"),
        ((500, "no object"), "it answers 500, no JSON object"),
        ((200, {"model_version_status": None}), "it answers 200, without a version"),
        ((200, {"model_version_status": ["a"]}), "version 2 of m is in the state None"),
        ((200, {"model_version_status": [{"status": 1}]}), "version 2 of m is in the state None"),
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


def test_an_answer_that_breaks_off_is_asked_for_again(
    watching: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Scripted(watching, (503, {}), status("AVAILABLE"))
    read = http.client.HTTPResponse.read

    def broken_off(response: http.client.HTTPResponse, *size: int) -> bytes:
        if response.status == 503:
            raise http.client.IncompleteRead(b"{")
        return read(response, *size)

    monkeypatch.setattr(http.client.HTTPResponse, "read", broken_off)
    with script.server.listening(polling=False) as url:
        wait_until_available(Watchers((url,)), "m", 2)
    assert len(script.asked) == 2


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


@pytest.mark.parametrize("token", ["secret", "pässe"])
def test_a_server_is_given_the_token_that_it_asks_for(
    watching: ModuleType, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    script = Scripted(watching, status("AVAILABLE"))
    script.server.token = token
    with script.server.listening(polling=False) as url:
        for given in (None, "", f"other {token}"):
            if given is not None:
                monkeypatch.setenv(TOKEN_VARIABLE, given)
            with pytest.raises(NotYet) as caught:
                wait_until_available(Watchers((url,), seconds=0), "m", 2)
            assert str(caught.value) == (
                f"{url} has not in 0 s: it answers 401: set $GROWGAN_SERVE_TOKEN to its API token"
            )
        assert script.asked == []
        monkeypatch.setenv(TOKEN_VARIABLE, f"{token}\n")
        wait_until_available(Watchers((url,), seconds=0), "m", 2)


def test_a_token_does_not_go_where_a_redirect_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "secret")
    request = request_to("http://a:8501/", "/v1/models/m")
    assert request.full_url == "http://a:8501/v1/models/m"
    assert dict(request.header_items()) == {"Authorization": "Bearer secret"}
    assert request.headers == {}  # Those that a redirect would take along.


def test_a_token_that_cannot_be_borne_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "sec\nret")
    with pytest.raises(NotYet, match=r"must be one line .* Received: \$GROWGAN_SERVE_TOKEN$"):
        wait_until_available(Watchers(("http://127.0.0.1:9",), seconds=0), "m", 2)


@pytest.mark.parametrize(
    "url", ["http://a", "https://a.b:1/models/", "http://[::1]:8501", "http://localhost.:8501"]
)
def test_what_names_a_server(url: str) -> None:
    assert server_url(url) == url


WRONG = [
    "", "localhost:8501", "ftp://a", "http://", "http://[::1", "http://a..b:8501",
    f"http://{'a' * 64}", "http://a:port", "http://a:70000", "http://a:0", "http://a b",
    "http://a\n", "http://me:word@a", "http://a?b", "http://a#b", "http://ä",
]  # fmt: skip


@pytest.mark.parametrize("url", WRONG)
def test_what_names_none(url: str) -> None:
    with pytest.raises(ValueError, match="must be a"):
        server_url(url)
