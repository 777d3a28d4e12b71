"""What follows from what kubectl complains of."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.orchestration.kubernetes import kubectl
from pipeline.orchestration.kubernetes.job import KubernetesConfig
from pipeline.orchestration.kubernetes.kubectl import Kubectl, NoAnswer

# As kubectl 1.32 says it.
MISTAKES = (
    'Error from server (Forbidden): jobs.batch is forbidden: User "u" cannot create resource',
    'Error from server (NotFound): namespaces "nope" not found',
    "error: You must be logged in to the server (Unauthorized)",
    'The Job "growgan-1" is invalid: spec.completions: Required value',
    "Error in configuration: context was not found for specified context: nope",
)
MAY_PASS = (
    "The connection to the server localhost:8080 was refused - did you specify the right host?",
    "Unable to connect to the server: net/http: TLS handshake timeout",
    "Error from server (ServiceUnavailable): the server is currently unable to handle the request",
    "error: timed out waiting for the condition on jobs/growgan-1",
    "",
)


def calls(tmp_path: Path, script: str, **changes: str) -> Kubectl:
    program = tmp_path / "kubectl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    given = {"image": "i", "mount_path": "/data", "kubectl": str(program), **changes}
    return Kubectl(KubernetesConfig.model_validate(given))


def test_it_is_told_of_which_cluster(tmp_path: Path) -> None:
    ask = calls(tmp_path, 'echo "$@"; cat', namespace="gan", context="here")
    assert ask("create", given={"a": 1}) == '--context=here --namespace=gan create\n{"a": 1}'
    assert calls(tmp_path, 'echo "$@"')("get") == "get\n"


@pytest.mark.parametrize("said", [*MISTAKES, *MAY_PASS])
def test_a_complaint_is_a_mistake_or_may_pass(tmp_path: Path, said: str) -> None:
    attempts = "E1122 05:09:13.730831 memcache.go:265] it was tried"
    (tmp_path / "said").write_text(f"{attempts}\n{said}\n")
    ask = calls(tmp_path, f"cat {tmp_path}/said >&2; exit 1")
    with pytest.raises((UserError, NoAnswer)) as caught:
        ask("create")
    assert caught.type is (UserError if said in MISTAKES else NoAnswer)
    assert str(caught.value).endswith(f"Received: {said or attempts}")


def test_a_program_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    ask = calls(tmp_path, "", kubectl=str(tmp_path / "nope"))
    with pytest.raises(UserError, match="must be a program that can be started"):
        ask("get")


def test_one_that_does_not_answer_may_answer_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubectl, "PATIENCE_WITH_ONE_ANSWER", 0.2)
    with pytest.raises(NoAnswer, match=r"in 0\.2 s\. Received: nothing"):
        calls(tmp_path, "exec sleep 5")("get")
