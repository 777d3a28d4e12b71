"""Notifications: sent to real servers, and no trouble with these reaches the run."""

from __future__ import annotations

import email
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from pipeline.config import GateConfig
from pipeline.evaluation.gate import judge
from pipeline.orchestration.runs.notifications import (
    EmailConfig,
    NotificationsConfig,
    message_of,
    send_notifications,
    subject_of,
)
from tests.pipeline.orchestration.receivers import receiving_mail, receiving_posts

NOBODY = {"sender": "growgan@example.com", "recipients": ("one@example.com", "two@example.com")}


@pytest.fixture(name="pauses", autouse=True)
def _pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


@pytest.fixture(name="closed_port")
def _closed_port() -> Iterator[int]:
    """A port that nobody listens at, nor can begin to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(name="certificate", scope="session")
def _certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a certificate for `localhost` and its key; `certificate.pem` is beside it."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl to make a certificate")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(file), "-out", str(file.with_name("certificate.pem"))],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_text(file.read_text() + file.with_name("certificate.pem").read_text())
    return file


@pytest.fixture(name="tls")
def _tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def mail_to(port: int, **changes: object) -> NotificationsConfig:
    settings = {"host": "localhost", "port": port, "security": "none", **NOBODY, **changes}
    return NotificationsConfig(email=EmailConfig.model_validate(settings), seconds=5)


def parsed(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def test_the_web_gets_a_line_and_the_outcome(outcome_of, pauses: list[float]) -> None:
    outcome = outcome_of()
    with receiving_posts() as one, receiving_posts(204) as two:
        config = NotificationsConfig(webhooks=(one.url + "/hook?key=1", two.url))
        assert send_notifications(config, outcome) == ()
    assert (one.paths, two.paths) == (["/hook?key=1"], ["/"])
    assert one.received == two.received
    assert one.received[0]["text"] == "faces: promoted, version 2: every rule of the gate is kept"
    assert one.received[0]["outcome"] == json.loads(outcome.model_dump_json())
    assert pauses == []


def test_scores_that_are_not_finite_are_strings_to_the_web(outcome_of, evaluated) -> None:
    outcome = outcome_of(evaluation=evaluated(scores={"fid": float("inf")}))
    with receiving_posts() as web:
        assert send_notifications(NotificationsConfig(webhooks=(web.url,)), outcome) == ()
    assert web.received[0]["outcome"]["evaluation"]["scores"][0]["value"] == "Infinity"


def test_an_address_may_be_a_secret(outcome_of, monkeypatch: pytest.MonkeyPatch) -> None:
    config = NotificationsConfig(webhook_variables=("HOOK",))
    with receiving_posts(404) as web:
        monkeypatch.setenv("HOOK", f"{web.url}/secret")
        [problem] = send_notifications(config, outcome_of())
        assert web.paths == ["/secret"]
    assert problem == (
        "no notification to the address in HOOK: HTTP Error 404: Not Found, after 1 of 3 attempts"
    )
    monkeypatch.setenv("HOOK", "http://example.com/secret")
    [problem] = send_notifications(config, outcome_of())
    assert "must be an https:// address" in problem
    assert "secret" not in problem
    monkeypatch.delenv("HOOK")
    [problem] = send_notifications(config, outcome_of())
    assert "the environment variable HOOK must be set. Received: nothing" in problem


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_in_trouble_is_asked_again(outcome_of, pauses: list[float], status: int) -> None:
    with receiving_posts(status, status, 200) as web:
        assert send_notifications(NotificationsConfig(webhooks=(web.url,)), outcome_of()) == ()
    assert len(web.received) == 3
    assert pauses == [1, 2]


def test_a_server_that_stays_in_trouble_is_told_of(outcome_of) -> None:
    with receiving_posts(500) as web, receiving_posts() as other:
        [problem] = send_notifications(
            NotificationsConfig(webhooks=(web.url, other.url)), outcome_of()
        )
    assert len(web.received) == 3
    assert len(other.received) == 1
    assert problem == (
        f"no notification to {web.url}: HTTP Error 500: Internal Server Error, "
        "after 3 of 3 attempts"
    )


def test_what_failed_is_a_short_line(outcome_of) -> None:
    with receiving_mail({"MAIL": ["550 " + "no " * 150]}) as server:
        [problem] = send_notifications(mail_to(server.port), outcome_of())
    assert len(problem) == 300


def test_a_refusal_is_not_asked_again_nor_a_redirect_followed(outcome_of) -> None:
    for status in (400, 302, 307):
        with receiving_posts(status) as web:
            [problem] = send_notifications(NotificationsConfig(webhooks=(web.url,)), outcome_of())
        assert len(web.paths) == 1
        assert f"HTTP Error {status}" in problem


def test_a_server_that_is_down_or_silent_fails_nothing(
    outcome_of, closed_port: int, pauses: list[float]
) -> None:
    down = f"http://127.0.0.1:{closed_port}"
    [problem] = send_notifications(NotificationsConfig(webhooks=(down,)), outcome_of())
    assert "Connection refused" in problem
    assert pauses == [1, 2]
    with receiving_posts(seconds=60) as web:
        config = NotificationsConfig(webhooks=(web.url,), seconds=0.1)
        [problem] = send_notifications(config, outcome_of())
    assert "timed out" in problem
    assert "after 3 of 3 attempts" in problem


def test_a_server_that_answers_byte_by_byte_holds_nothing_up(outcome_of) -> None:
    ended = threading.Event()

    def listen(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=drip, args=(connection,), daemon=True).start()

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\nX: " + b"a" * 10_000:
                connection.sendall(bytes([byte]))
                if ended.wait(0.05):
                    return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=listen, args=(listening,), daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        [problem] = send_notifications(
            NotificationsConfig(webhooks=(url,), seconds=0.3), outcome_of()
        )
        ended.set()
    assert "timed out, without a whole answer in 0.3 s, after 3 of 3 attempts" in problem


def test_certificates_of_the_web_are_checked(
    outcome_of, certificate: Path, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving_posts(tls=tls) as web:
        config = NotificationsConfig(webhooks=(web.url,))
        [problem] = send_notifications(config, outcome_of())
        assert "certificate verify failed" in problem
        assert web.received == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_name("certificate.pem")))
        assert send_notifications(config, outcome_of()) == ()
    assert len(web.received) == 1


def test_what_is_for_this_machine_goes_through_no_proxy(
    outcome_of, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with receiving_posts() as web:
        assert send_notifications(NotificationsConfig(webhooks=(web.url,)), outcome_of()) == ()


def test_an_e_mail_is_a_subject_and_plain_text(outcome_of, evaluated) -> None:
    new, old = evaluated(), evaluated(900, scores={"fid": (4.0, 3.5, 4.5)})
    outcome = outcome_of(
        model="Gesichter ü",
        verdict="gate failed",
        evaluation=new,
        promoted=old,
        gate=judge(new, GateConfig(max_fid=3.2, min_recall=0.1)),
        report="runs/a/report.html",
        steps=({"name": "gate", "state": "failed", "reason": "a rule is broken"},),
    )
    with receiving_mail() as server:
        assert send_notifications(mail_to(server.port), outcome) == ()
    assert server.senders[0].startswith("mail FROM:<growgan@example.com>")
    assert [each.split(":")[1] for each in server.recipients] == [
        "<one@example.com>", "<two@example.com>",
    ]  # fmt: skip
    message = parsed(server.messages[0])
    assert message["Subject"].startswith("Gesichter ü: gate failed, version 2: every rule")
    assert message["To"] == "one@example.com, two@example.com"
    assert message["Date"].datetime == outcome.ended
    assert message["Message-ID"]
    assert message.get_content_type() == "text/plain"
    text = message.get_content().replace("\r\n", "\n")
    assert text == message_of(outcome)
    for line in (
        "time: 2026-05-04 02:00 to 2026-05-04 03:11 UTC",
        "pictures: 6,500, of which 500 new",
        "FID: 3 (2.5 to 3.5), before: 4 (3.5 to 4.5)",
        "Recall: 0.5 (0.45 to 0.55)",
        "gate, max_fid: `fid` must be at most 3.2. Received: 3 (2.5 to 3.5)",
        "failed step gate: a rule is broken",
        "page: history/run-0/index.html",
        "report: runs/a/report.html",
    ):
        assert line in text.splitlines()
    assert "min_recall" not in text


@pytest.mark.parametrize("from_start", [False, True])
def test_a_password_goes_over_tls_alone(
    outcome_of,
    certificate: Path,
    tls: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    from_start: bool,
) -> None:
    monkeypatch.setenv("PASSWORD", "opensesame")
    with receiving_mail(tls=tls, from_start=from_start) as server:
        config = mail_to(
            server.port,
            security="tls" if from_start else "starttls",
            username="me",
            password_variable="PASSWORD",
        )
        [problem] = send_notifications(config, outcome_of())
        assert "certificate verify failed" in problem
        assert server.logins == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_name("certificate.pem")))
        assert send_notifications(config, outcome_of()) == ()
    assert server.logins == ["me opensesame True"]
    assert len(server.messages) == 1


def test_a_server_without_starttls_gets_nothing(outcome_of) -> None:
    with receiving_mail() as server:
        [problem] = send_notifications(mail_to(server.port, security="starttls"), outcome_of())
    assert "STARTTLS extension not supported" in problem
    assert server.messages == []


def test_mail_that_a_server_puts_off_is_sent_again(outcome_of, pauses: list[float]) -> None:
    with receiving_mail({"MAIL": ["451 later"], "DATA": ["452 full"]}) as server:
        assert send_notifications(mail_to(server.port), outcome_of()) == ()
    assert (server.sessions, len(server.messages)) == (3, 1)
    assert pauses == [1, 2]


def test_mail_that_a_server_refuses_is_not(outcome_of) -> None:
    with receiving_mail({"MAIL": ["550 no"]}) as server:
        [problem] = send_notifications(mail_to(server.port), outcome_of())
    assert server.sessions == 1
    assert problem.startswith("no notification to localhost: (550, b'no'")
    with receiving_mail({"RCPT": ["550 unknown"]}) as server:
        [problem] = send_notifications(mail_to(server.port), outcome_of())
    assert problem.startswith(
        "no notification to localhost: refused for one@example.com, sent to the others"
    )
    assert (server.sessions, len(server.messages)) == (1, 1)
    with receiving_mail({"RCPT": ["550 unknown"] * 2}) as server:
        [problem] = send_notifications(mail_to(server.port), outcome_of())
    assert (server.sessions, len(server.messages)) == (1, 0)


def test_mail_that_was_taken_is_not_sent_again(outcome_of) -> None:
    with receiving_mail({"QUIT": ["421 no time"]}) as server:
        assert send_notifications(mail_to(server.port), outcome_of()) == ()
    assert (server.sessions, len(server.messages)) == (1, 1)


def test_a_mail_server_that_is_down_or_silent_fails_nothing(outcome_of, closed_port: int) -> None:
    [problem] = send_notifications(mail_to(closed_port), outcome_of())
    assert "Connection refused, after 3 of 3 attempts" in problem
    with receiving_mail({"EHLO": ["silence"] * 3, "HELO": ["silence"] * 3}) as server:
        config = mail_to(server.port).model_copy(update={"seconds": 0.1})
        [problem] = send_notifications(config, outcome_of())
    assert "timed out, after 3 of 3 attempts" in problem


def test_a_missing_password_is_told(outcome_of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PASSWORD", raising=False)
    config = mail_to(9, username="me", password_variable="PASSWORD")
    [problem] = send_notifications(config, outcome_of())
    assert "the environment variable PASSWORD must be set" in problem


def test_names_become_no_headers_and_no_lines(outcome_of) -> None:
    outcome = outcome_of(
        model="faces\r\nBcc: thief@example.com\r\n\r\nNew body",
        reason="a\n.\r\nMAIL FROM:<x@example.com>",
    )
    with receiving_mail() as server:
        assert send_notifications(mail_to(server.port), outcome) == ()
    [content] = server.messages
    message = parsed(content)
    assert message["Bcc"] is None
    assert message["Subject"].startswith("faces Bcc: thief@example.com New body: promoted")
    assert len(server.senders) == 1
    assert len(server.recipients) == 2
    assert set(message.keys()) == {
        "Subject", "From", "To", "Date", "Message-ID", "Content-Type",
        "Content-Transfer-Encoding", "MIME-Version",
    }  # fmt: skip


def test_a_subject_is_short(outcome_of) -> None:
    subject = subject_of(outcome_of(reason="word " * 1000))
    assert len(subject) <= 200
    assert subject.endswith(" …")
    outcome = outcome_of(model="m" * 5000)
    with receiving_mail() as server:
        assert send_notifications(mail_to(server.port), outcome) == ()
    assert max(map(len, server.messages[0].splitlines())) < 998


def test_only_verdicts_that_were_asked_for_are_told(outcome_of) -> None:
    with receiving_posts() as web:
        config = NotificationsConfig(webhooks=(web.url,))
        for verdict in ("unchanged", "interrupted"):
            assert send_notifications(config, outcome_of(verdict=verdict)) == ()
        assert web.received == []
        for verdict in ("promoted", "gate failed", "alarm", "rolled back", "failed"):
            assert send_notifications(config, outcome_of(verdict=verdict)) == ()
        asked = config.model_copy(update={"verdicts": ("unchanged",)})
        assert (
            send_notifications(asked, outcome_of())
            == send_notifications(asked, outcome_of(verdict="unchanged"))
            == ()
        )
    assert len(web.received) == 6


def test_nobody_is_told_unless_asked(outcome_of) -> None:
    assert send_notifications(NotificationsConfig(), outcome_of()) == ()


def test_settings_are_plain_yaml() -> None:
    text = """
    webhooks: ["https://example.com/hook", "http://127.0.0.1:8080/"]
    webhook_variables: [CHAT]
    email: {host: mail.example.com, sender: a@example.com, recipients: [b@example.com],
            username: me, password_variable: PASSWORD}
    verdicts: [failed, gate failed]
    """
    config = NotificationsConfig.model_validate(yaml.safe_load(text))
    assert config.email is not None
    assert (config.email.port, config.email.security) == (587, "starttls")
    assert config.verdicts == ("failed", "gate failed")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "http://10.0.0.1/",
        "ftp://localhost/",
        "https://",
        "https://me:secret@example.com/",
        "https://example.com/a b",
        "https://example.com/\r\nX: y",
        "https://[::1",
        "https://example.com:99999/",
        "file:///etc/passwd",
        "hook",
    ],
)
def test_addresses_must_be_private(url: str) -> None:
    with pytest.raises(ValidationError):
        NotificationsConfig(webhooks=(url,))
    for allowed in ("http://localhost:1/", "http://[::1]:1/", "http://127.1.2.3/"):
        NotificationsConfig(webhooks=(allowed,))


@pytest.mark.parametrize(
    "wrong",
    [
        {"username": "me"},
        {"password_variable": "PASSWORD"},
        {"password": "opensesame"},
        {"username": "me", "password_variable": "PASSWORD", "security": "none"},
        {"password_variable": "open sesame", "username": "me"},
        {"sender": "a@example.com\r\nBcc: b@example.com"},
        {"sender": "nobody"},
        {"recipients": ()},
        {"recipients": ("a@example.com, b@example.com",)},
        {"host": "mail example com"},
        {"port": 0},
        {"security": "ssl"},
    ],
)
def test_mail_settings_that_cannot_be_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        EmailConfig.model_validate({"host": "mail.example.com", **NOBODY, **wrong})
