"""`growgan serve`: what it refuses before it serves, in one line and with status 2."""

from __future__ import annotations

import inspect
import ipaddress
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.cli.serve import serve

# A process of its own: a server's modules, threads and log are not for one that tests share.
COMMAND = """
import sys
missing = {missing}
sys.modules.update(dict.fromkeys(missing))
for name in list(sys.modules):
    if missing and name.startswith("savedmodels.server"):
        del sys.modules[name]
from pipeline import cli
cli.main()
"""


def assert_refused(python: str, said: str, *given: object, missing: tuple[str, ...] = ()) -> None:
    command = [python, "-c", COMMAND.format(missing=list(missing)), "serve", "--port", "0"]
    result = subprocess.run(
        [*command, *map(str, given)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert said in result.stderr


def test_what_is_no_folder_or_no_pair(python: str, tmp_path: Path) -> None:
    none = tmp_path / "none"
    assert_refused(python, f"`REPOSITORY` must be a folder. Received: {none}", none)
    missing = f"Invalid value for '--tls-key': path '{none}' does not exist"
    assert_refused(python, missing, tmp_path, "--tls-key", none)
    key, batching = tmp_path / "key", tmp_path / "batching.config"
    key.touch()
    batching.touch()
    pair = "`--tls-certificate` and `--tls-key` must be given together"
    assert_refused(python, pair, tmp_path, "--tls-key", key)
    damaged = "must be a certificate and its key as PEM files. Received: "
    both = ("--tls-key", key, "--tls-certificate", key)
    assert_refused(python, damaged, tmp_path, *both)
    file = ("--batching-parameters-file", batching)
    said = "`--batching-parameters-file` must come with `--enable-batching`"
    assert_refused(python, said, tmp_path, *file)


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("--port", "65536", "less than or equal to 65535"),
        ("--port", "-1", "greater than or equal to 0"),
        ("--rest-api-port", "65536", "less than or equal to 65535"),
        ("--rest-api-port", "-1", "greater than or equal to 0"),
        ("--file-system-poll-wait-seconds", "-0.5", "greater than or equal to 0"),
    ],
)
def test_numbers_out_of_range(capfd, monkeypatch, tmp_path, option, value, rule) -> None:
    monkeypatch.setattr(sys, "argv", ["growgan", "serve", str(tmp_path), option, value])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    said = f"growgan: Invalid value for '{option}': Input should be {rule}\n"
    assert capfd.readouterr().err == said


def test_only_this_machine_is_listened_to_unless_another_address_is_given() -> None:
    default = inspect.signature(serve).parameters["host"].default
    assert ipaddress.ip_address(default).is_loopback


def test_a_missing_extra_is_named(python: str, tmp_path: Path) -> None:
    said = "`growgan serve` needs the extra `serve`: pip install 'growgan[serve]'. Missing: "
    assert_refused(python, said, tmp_path, missing=("uvicorn", "tensorflow_serving"))


@pytest.fixture(name="extra")
def _extra() -> None:
    pytest.importorskip("uvicorn", reason="needs the extra `serve`")
    pytest.importorskip("tensorflow_serving", reason="needs the extra `serve`")


@pytest.mark.slow
@pytest.mark.usefixtures("extra")
def test_ports_tokens_and_files(python: str, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        used = f"a port must be free to listen at. Received: 127.0.0.1:{port} ("
        assert_refused(python, used, tmp_path, "--rest-api-port", port)
    free = ("--rest-api-port", 0)
    token = tmp_path / "token"
    token.write_text("\n")
    token.chmod(0o600)
    empty = f"the API token must not be empty. Received: {token}"
    assert_refused(python, empty, tmp_path, *free, "--token-file", token)
    token.write_bytes(b"\xff")
    no_text = f"the API token must be text. Received: {token}"
    assert_refused(python, no_text, tmp_path, *free, "--token-file", token)
    batching = ("--enable-batching", "--batching-parameters-file", tmp_path / "batching.config")
    for content, said in (
        (b"max_batch_size { value: 0 }", "`max_batch_size` must be at least 1. Received: 0"),
        (b"\xff", "a batching parameters file must be a BatchingParameters message. Received: 1:1"),
    ):
        (tmp_path / "batching.config").write_bytes(content)
        assert_refused(python, said, tmp_path, *free, *batching)
    config = tmp_path / "models.config"
    config.write_bytes(b"\xff")
    assert_refused(
        python, "models.config must be a ModelServerConfig. Received: 1:1", tmp_path, *free
    )
    config.write_text("x")
    said = "models.config must be a ModelServerConfig. Received: 1:"
    assert_refused(python, said, tmp_path, *free)
    config.write_text(
        'model_config_list { config { name: "a" base_path: "/none" model_platform: "tensorflow" } }'
    )
    said = "Could not find base path /none for servable a"
    assert_refused(python, said, tmp_path, *free)


@pytest.mark.slow
@pytest.mark.usefixtures("extra")
@pytest.mark.new_interpreter
def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    """By a new interpreter: gRPC decides when it is imported what it says beside ours."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        used = f"a port must be free to listen at. Received: 127.0.0.1:{port} ("
        assert_refused(sys.executable, used, tmp_path, "--rest-api-port", 0, "--port", port)


def test_help_says_what_production_is(capfd, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["growgan", "serve", "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "Use TensorFlow Serving itself in production" in " ".join(capfd.readouterr().out.split())
