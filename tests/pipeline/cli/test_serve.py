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

pytestmark = pytest.mark.usefixtures("forked")
NEW_INTERPRETER = sys.executable

# A process of its own: a server's modules, threads and log are not for one that tests share.
COMMAND = """
import sys
missing = {missing}
if missing:  # A fork has imported the server already.
    for name in [each for each in sys.modules if each.startswith("savedmodels.server")]:
        del sys.modules[name]
sys.modules.update(dict.fromkeys(missing))
from pipeline import cli
cli.main()
"""


def assert_refused(
    said: str, *given: object, missing: tuple[str, ...] = (), interpreter: str | None = None
) -> None:
    code = COMMAND.format(missing=list(missing))
    command = [interpreter or sys.executable, "-c", code, "serve", "--port", "0"]
    result = subprocess.run(
        [*command, *map(str, given)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert said in result.stderr


def test_what_is_no_folder_or_no_pair(tmp_path: Path) -> None:
    none = tmp_path / "none"
    assert_refused(f"`REPOSITORY` must be a folder. Received: {none}", none)
    pair = "`--tls-certificate` and `--tls-key` must be given together"
    assert_refused(pair, tmp_path, "--tls-key", tmp_path / "key")
    file = ("--batching-parameters-file", tmp_path / "batching.config")
    said = "`--batching-parameters-file` must come with `--enable-batching`"
    assert_refused(said, tmp_path, *file)


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


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    said = "`growgan serve` needs the extra `serve`. Missing:"
    assert_refused(said, tmp_path, missing=("uvicorn", "tensorflow_serving"))


@pytest.fixture(name="extra")
def _extra() -> None:
    pytest.importorskip("uvicorn", reason="needs the extra `serve`")
    pytest.importorskip("tensorflow_serving", reason="needs the extra `serve`")


@pytest.mark.slow
@pytest.mark.usefixtures("extra")
def test_ports_tokens_and_files(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        used = f"a port must be free to listen at. Received: 127.0.0.1:{port} ("
        assert_refused(used, tmp_path, "--rest-api-port", port)
        # gRPC's own log is silenced when it is first imported, which a fork has done already.
        words = ("--rest-api-port", 0, "--port", port)
        assert_refused(used, tmp_path, *words, interpreter=NEW_INTERPRETER)
    free = ("--rest-api-port", 0)
    token = tmp_path / "token"
    token.write_text("\n")
    empty = f"the API token must not be empty. Received: {token}"
    assert_refused(empty, tmp_path, *free, "--token-file", token)
    token.write_bytes(b"\xff")
    no_text = f"the API token must be text. Received: {token}"
    assert_refused(no_text, tmp_path, *free, "--token-file", token)
    batching = ("--enable-batching", "--batching-parameters-file", tmp_path / "batching.config")
    assert_refused("a file could not be read", tmp_path, *free, *batching)
    for content, said in (
        (b"max_batch_size { value: 0 }", "`max_batch_size` must be at least 1. Received: 0"),
        (b"\xff", "a batching parameters file must be BatchingParameters. Received: 1:1"),
    ):
        (tmp_path / "batching.config").write_bytes(content)
        assert_refused(said, tmp_path, *free, *batching)
    pair = ("--tls-key", token, "--tls-certificate", token)
    assert_refused("a file could not be read", tmp_path, *free, *pair)
    config = tmp_path / "models.config"
    config.write_bytes(b"\xff")
    assert_refused("models.config must be a ModelServerConfig. Received: 1:1", tmp_path, *free)
    config.write_text("x")
    said = "models.config must be a ModelServerConfig. Received: 1:"
    assert_refused(said, tmp_path, *free)
    config.write_text(
        'model_config_list { config { name: "a" base_path: "/none" model_platform: "tensorflow" } }'
    )
    said = "Could not find base path /none for servable a"
    assert_refused(said, tmp_path, *free)


def test_help_says_what_production_is(capfd, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["growgan", "serve", "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "Production is TensorFlow Serving itself" in " ".join(capfd.readouterr().out.split())
