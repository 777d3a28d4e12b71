"""Send the outcome of a pipeline run as JSON to web addresses and as e-mail; never fail the run.

Written by hand, because the libraries do less. apprise 2.3.0, when tried, reported success after a
redirect whose GET had lost the content, sent what is for this machine through a proxy, waited 20 s
for a slow answer with a limit of 2 s, and did not retry after HTTP 503 or SMTP 451. requests and
urllib3 cannot limit the time of a whole answer either.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import smtplib
import ssl
import textwrap
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, suppress
from email.message import EmailMessage
from email.utils import make_msgid
from functools import partial
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic.functional_validators import AfterValidator

from pipeline.config import Rate, Section
from pipeline.evaluation.scores import title_of
from pipeline.orchestration.runs.outcome import (
    HISTORY,
    PAGE,
    Ending,
    Outcome,
    consequence_of,
    one_line,
)

ATTEMPTS = 3
FIRST_PAUSE = 1.0  # Seconds before the second attempt; twice as long before each further one.
MAX_SUBJECT = 200  # Maximum number of characters in a subject.
MAX_FAILURE = 300
"""Maximum number of characters in the line of a failure, which may quote a server."""


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _web_address(url: str) -> str:
    # `urlsplit` would drop line breaks without a word.
    plain = url.isascii() and url.isprintable() and " " not in url
    parts = urlsplit(url) if plain else urlsplit("")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise ValueError("must be an https:// address, or an http:// one of this machine")
    if not parts.hostname or "@" in parts.netloc or parts.port == 0:
        raise ValueError("must name a host, and no user")
    return url


WebAddress = Annotated[str, AfterValidator(_web_address)]
MailAddress = Annotated[str, Field(pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]+@[A-Za-z0-9.-]+$")]
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_-]+$")]
Variable = Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")]
"""Name of an environment variable."""


class EmailConfig(Section):
    """Settings of e-mail."""

    host: Host
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    """Encryption of the connection: `starttls` after the command STARTTLS, `tls` from its start."""
    sender: MailAddress
    recipients: tuple[MailAddress, ...] = Field(min_length=1)
    username: str | None = None
    """Name for the login, None for no login."""
    password_variable: Variable | None = None
    """Environment variable that holds the password."""

    @model_validator(mode="after")
    def _login_is_whole_and_private(self) -> EmailConfig:
        if (self.username is None) != (self.password_variable is None):
            raise ValueError("`username` and `password_variable` must be given together")
        # Without encryption others on the network can read the password.
        if self.username is not None and self.security == "none" and not _is_loopback(self.host):
            raise ValueError("a login must have `security: starttls` or `security: tls`")
        return self


class NotificationsConfig(Section):
    """Settings of notifications, section `notifications` of pipeline.yaml."""

    webhooks: tuple[WebAddress, ...] = ()
    """Web addresses that get a POST of JSON."""
    webhook_variables: tuple[Variable, ...] = ()
    """Environment variables that hold web addresses, because those of chat services are secrets."""
    email: EmailConfig | None = None
    verdicts: tuple[Ending, ...] = ("promoted", "gate failed", "alarm", "rolled back", "failed")
    """Verdicts of runs that cause a notification."""
    seconds: Rate = 10.0
    """Time limit for a server's whole answer, in seconds."""


def send_notifications(config: NotificationsConfig, outcome: Outcome) -> tuple[str, ...]:
    """Send all notifications, and return a line for each that failed; never raise."""
    if outcome.verdict not in config.verdicts:
        return ()
    failures = ((name, _failure_of(send)) for name, send in _deliveries(config, outcome))
    lines = (f"no notification to {name}: {failure}" for name, failure in failures if failure)
    return tuple(one_line(line)[:MAX_FAILURE] for line in lines)


def subject_of(outcome: Outcome) -> str:
    """Return the outcome in one line."""
    version = f", version {outcome.version}" if outcome.version else ""
    line = f"{outcome.model}: {outcome.verdict}{version}: {outcome.reason}"
    return textwrap.shorten(line, MAX_SUBJECT, placeholder=" …")


def message_of(outcome: Outcome) -> str:
    """Return the outcome as the plain text of an e-mail."""
    lines = [
        subject_of(outcome),
        consequence_of(outcome),
        "",
        f"run: {outcome.run}, started by: {outcome.trigger}",
        f"time: {outcome.started:%Y-%m-%d %H:%M} to {outcome.ended:%Y-%m-%d %H:%M} UTC",
    ]
    if outcome.snapshot:
        images, new = outcome.snapshot.images, outcome.snapshot.new
        lines.append(f"pictures: {images:,}, of which {new:,} new")
    for score in outcome.evaluation.scores if outcome.evaluation else ():
        former = outcome.promoted.score(score.name) if outcome.promoted else None
        before = f", before: {former}" if former else ""
        lines.append(f"{title_of(score.name)}: {score}{before}")
    for rule in outcome.gate.rules if outcome.gate else ():
        if not rule.passed:
            lines.append(f"gate, {rule.rule}: {rule.reason}")
    for step in outcome.steps:
        if step.state == "failed":
            lines.append(f"failed step {step.name}: {step.reason}")
    lines.append(f"page: {HISTORY}/{outcome.run}/{PAGE}")
    if outcome.report:
        lines.append(f"report: {outcome.report}")
    return "\n".join(lines) + "\n"


def _deliveries(
    config: NotificationsConfig, outcome: Outcome
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield a name without secrets, and a function that sends, for each web address and e-mail."""
    for url in config.webhooks:
        parts = urlsplit(url)  # The path or query of an address may be a secret.
        yield f"{parts.scheme}://{parts.netloc}", partial(_post, url, outcome, config.seconds)
    for variable in config.webhook_variables:
        post = partial(_post, variable, outcome, config.seconds, secret=True)
        yield f"the address in {variable}", post
    if config.email is not None:
        # One message for all attempts, so that receivers recognise a duplicate by its ID.
        message = _message(config.email, outcome)
        yield config.email.host, partial(_mail, config.email, message, config.seconds)


def _failure_of(send: Callable[[], None]) -> str | None:
    """Send, in up to `ATTEMPTS` attempts; return the reason of a failure, or None."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            send()
        except Exception as error:  # Any error: a notification must not fail the run.
            if attempt == ATTEMPTS or not _may_pass(error):
                return f"{error or type(error).__name__}, after {attempt} of {ATTEMPTS} attempts"
        else:
            return None
        time.sleep(FIRST_PAUSE * 2 ** (attempt - 1))
    return None


def _within(seconds: float, send: Callable[[], None]) -> None:
    """Send in a thread; raise TimeoutError after a time limit for the whole exchange."""
    result: Future[None] = Future()

    def attempt() -> None:
        try:
            send()
        except Exception as error:
            result.set_exception(error)
        else:
            result.set_result(None)

    # A socket's timeout starts again with every byte. Not an executor: Python would wait for its
    # threads at exit.
    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    if not result.done():
        raise TimeoutError(f"timed out, without a whole answer in {seconds:g} s")
    result.result()


def _may_pass(error: Exception) -> bool:
    """Return whether another attempt may succeed."""
    match error:
        case urllib.error.HTTPError():
            return error.code >= 500 or error.code in (408, 429)
        case smtplib.SMTPResponseException():  # 4xx is temporary, 5xx permanent.
            return error.smtp_code < 500
        case smtplib.SMTPRecipientsRefused():
            return any(code < 500 for code, _ in error.recipients.values())
        case _:
            return isinstance(error, OSError | http.client.HTTPException)


def _secret(variable: str) -> str:
    if not os.environ.get(variable):
        raise ValueError(f"the environment variable {variable} must be set. Received: nothing")
    return os.environ[variable]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Handler that refuses redirects."""

    # A redirect would lose the content, and could lead to an address that nobody allowed.
    def redirect_request(self, *_: object) -> None:
        return None


def _post(address: str, outcome: Outcome, seconds: float, *, secret: bool = False) -> None:
    """Post to `address`: a URL, or, if `secret`, the environment variable that holds it."""
    url = _web_address(_secret(address)) if secret else address
    # Through pydantic's JSON, which writes numbers that are not finite as strings.
    content = {"text": subject_of(outcome), "outcome": json.loads(outcome.model_dump_json())}
    request = urllib.request.Request(
        url, json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    # No proxy for http, which is allowed for this machine only: a proxy would read the content.
    proxies = {name: at for name, at in urllib.request.getproxies().items() if name == "https"}
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler(proxies))

    def send() -> None:
        try:
            opener.open(request, timeout=seconds).close()
        except urllib.error.HTTPError as error:
            error.close()  # The error holds the connection.
            raise

    _within(seconds, send)


def _mail(email: EmailConfig, message: EmailMessage, seconds: float) -> None:
    password = _secret(email.password_variable) if email.password_variable else ""
    tls = ssl.create_default_context()
    server = (
        smtplib.SMTP_SSL(email.host, email.port, timeout=seconds, context=tls)
        if email.security == "tls"
        else smtplib.SMTP(email.host, email.port, timeout=seconds)
    )
    with closing(server):  # `with server` would raise if QUIT fails, and the message be sent again.
        if email.security == "starttls":
            server.starttls(context=tls)
        if email.username is not None:
            server.login(email.username, password)
        refused = server.send_message(message)
        with suppress(OSError):  # The server has the message, so a failed QUIT does not matter.
            server.quit()
    if refused:  # Some recipients only: if all are refused, `send_message` raises.
        raise ValueError(f"refused for {', '.join(refused)}, sent to the others")


def _message(email: EmailConfig, outcome: Outcome) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = subject_of(outcome)
    message["From"] = email.sender
    message["To"] = ", ".join(email.recipients)
    message["Date"] = outcome.ended
    message["Message-ID"] = make_msgid(outcome.run, email.sender.partition("@")[2])
    message.set_content(message_of(outcome))
    return message
