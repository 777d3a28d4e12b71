"""Jobs from their start to their end, by what a cluster answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.orchestration.kubernetes import job_runner
from pipeline.orchestration.kubernetes.job import KubernetesConfig, Manifest, job_of
from pipeline.orchestration.kubernetes.job_runner import JobEnd, run_job
from pipeline.orchestration.kubernetes.kubectl import NoAnswer

CONFIG = KubernetesConfig.model_validate({"image": "i", "mount_path": "/data"})
ONE, TWO = (job_of(CONFIG, "growgan-1", ["train"], CONFIG.mount_path, pods) for pods in (1, 2))
OTHER = job_of(CONFIG, "growgan-1", ["train", "--out", "b"], CONFIG.mount_path, 1)
GONE = NoAnswer("the cluster must do `kubectl get`. Received: no connection")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_runner, "POLL_SECONDS", 0.0)


def job(made: Manifest = ONE, condition: str = "", **metadata: Any) -> Manifest:
    """A Job as the cluster tells of it."""
    conditions = [{"type": condition, "status": "True"}] if condition else []
    told = {**made["metadata"], "uid": "u-1", **metadata}
    return {**made, "metadata": told, "status": {"conditions": conditions}}


def pod(index: int = 0, **status: Any) -> Manifest:
    number = {"batch.kubernetes.io/job-completion-index": str(index)}
    return {
        "kind": "Pod",
        "metadata": {"name": f"growgan-1-{index}-x", "annotations": number},
        "status": {"phase": "Running", **status},
    }


def ended(index: int, status: int, at: str = "t", reason: str = "Error") -> Manifest:
    state = {"exitCode": status, "reason": reason, "finishedAt": at}
    return pod(
        index,
        phase="Failed" if status else "Succeeded",
        containerStatuses=[{"name": "growgan", "state": {"terminated": state}}],
    )


PLACELESS = pod(
    phase="Pending",
    conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
)
SUCCESS = [job(condition="Complete"), ended(0, 0)]


class Told:
    """Takes the place of kubectl.

    Args:
        looks: What there is, one look after the other; the last stays.
        logs: What pods wrote, in the same way.
        refuses: A command that it does not do, and why.
    """

    def __init__(
        self,
        *looks: list[Manifest] | Exception,
        logs: tuple[str, ...] = ("",),
        refuses: tuple[str, Exception] = ("", GONE),
    ) -> None:
        self._looks, self._logs, self._refuses = [*looks], [*logs], refuses
        self.calls: list[str] = []
        self.given: list[Manifest] = []

    def __call__(self, *words: str, given: Manifest | None = None, seconds: float = 0) -> str:
        self.calls.append(" ".join(words))
        self.given += [] if given is None else [given]
        if words[0] == self._refuses[0]:
            raise self._refuses[1]
        if words[0] == "logs":
            return self._next(self._logs)
        if words[0] == "create":
            return json.dumps(job(given or ONE))
        if words[0] == "get":
            look = self._next(self._looks)
            if isinstance(look, Exception):
                raise look
            return json.dumps({"items": look})
        return ""

    def did(self) -> list[str]:
        """What changed something."""
        words = [call.split()[0] for call in self.calls]
        return [word for word in words if word not in ("get", "logs")]

    def _next(self, answers: list[Any]) -> Any:
        return answers.pop(0) if len(answers) > 1 else answers[0]


def run(told: Told, made: Manifest = ONE, wait_seconds: float = 60.0) -> tuple[JobEnd, list[str]]:
    lines: list[str] = []
    return run_job(told, made, lines.append, wait_seconds), lines


def test_a_job_is_followed_to_its_end_and_removed() -> None:
    first, second = ("2026-01-01T00:00:01.100000000Z a", "2026-01-01T00:00:01.200000000Z \n")
    told = Told(
        *([], [job()], [job(), pod()], [job(), pod()], SUCCESS),
        logs=(f"{first}\n", f"{first}\n{second}", f"{second}2026-01-01T00:00:02.0Z b  c\n"),
    )
    assert run(told) == (JobEnd(0), ["Job growgan-1 is made, of 1 pod", "a", "", "b  c"])
    assert told.did() == ["create", "delete"]
    assert told.given == [ONE]
    assert [call.split()[-1] for call in told.calls if call.startswith("logs")] == [
        f"--tail={job_runner.MAX_LINES}",
        *["--since-time=2026-01-01T00:00:01.100000000Z"],
        *["--since-time=2026-01-01T00:00:01.200000000Z"],
    ]
    assert told.calls[-1] == (
        "delete job growgan-1 --ignore-not-found --cascade=foreground --wait=true --timeout=180s"
    )


def test_workers_get_a_service_that_belongs_to_their_job() -> None:
    told = Told([], [job(TWO, "Complete"), ended(0, 0), ended(1, 0)])
    assert run(told, TWO)[0] == JobEnd(0)
    assert told.did() == ["create", "apply", "delete"]
    assert told.given[1]["metadata"]["ownerReferences"][0]["uid"] == "u-1"


@pytest.mark.parametrize("there", [job(TWO), job(TWO, "Complete")])
def test_one_that_was_left_behind_is_taken_over(there: Manifest) -> None:
    told = Told([there], [job(TWO, "Complete"), ended(0, 0), ended(1, 0)])
    end, lines = run(told, TWO)
    assert (end, lines) == (JobEnd(0), ["Job growgan-1 is there already, and is taken over"])
    # The process that made it may have been killed before there was a Service.
    assert told.did() == ["apply", "delete"]


@pytest.mark.parametrize(
    "there", [job(OTHER), job(condition="Failed"), job(deletionTimestamp="2026-01-01T00:00:00Z")]
)
def test_one_that_is_another_or_has_failed_or_goes_is_removed_first(there: Manifest) -> None:
    told = Told([there], SUCCESS)
    assert run(told)[1][0] == "Job growgan-1 was left behind, and is removed first"
    assert told.did() == ["delete", "create", "delete"]


def test_the_last_that_a_pod_said_is_its_complaint() -> None:
    failed = [job(TWO, "Failed"), ended(0, 69, "t2"), ended(1, 137, "t1", "OOMKilled")]
    told = Told([], failed, logs=("2026-01-01T00:00:01Z a\n", "b\nc\n"))
    fault = "growgan: pod growgan-1-1-x was ended: OOMKilled"
    assert run(told, TWO)[0] == JobEnd(137, f"b\nc\n{fault}")
    assert told.calls[-2] == "logs growgan-1-1-x --container=growgan --tail=20"
    refused = Told([], [job(condition="Failed"), ended(0, 2)], refuses=("logs", GONE))
    assert run(refused)[0] == JobEnd(2)


@pytest.mark.parametrize(
    ("statuses", "cause"),
    [
        ({0: (69, "10:00:01Z"), 1: (2, "10:00:02Z")}, 2),
        ({0: (143, "10:00:01Z"), 1: (137, "10:00:01Z")}, 137),
        ({0: (143, "10:00:01Z"), 1: (69, "10:00:00Z")}, 143),
        ({0: (69, "10:00:01Z"), 1: (0, "10:00:00Z")}, 69),
        ({0: (3, "10:00:02Z"), 1: (1, "10:00:01Z")}, 1),
    ],
)
def test_the_cause_is_found_among_those_that_only_followed(
    statuses: dict[int, tuple[int, str]], cause: int
) -> None:
    pods = [ended(index, status, at) for index, (status, at) in statuses.items()]
    assert run(Told([], [job(TWO, "Failed"), *pods]), TWO)[0] == JobEnd(cause)


@pytest.mark.parametrize(
    ("status", "waits"),
    [
        ({"phase": "Pending"}, "its image and volume"),
        ({"phase": "Running"}, None),
        ({"phase": "Succeeded"}, None),
        (
            {"phase": "Pending", "conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                 "message": "0/3 nodes are available: 3 Insufficient cpu."}]},
            "Unschedulable: 0/3 nodes are available: 3 Insufficient cpu.",
        ),
        (
            {"phase": "Pending", "containerStatuses": [
                {"name": "growgan", "state": {"waiting": {"reason": "ContainerCreating"}}}]},
            "its image and volume",
        ),
        (
            {"phase": "Pending", "containerStatuses": [
                {"name": "other", "state": {"running": {}}},
                {"name": "growgan", "state": {"waiting": {
                    "reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}]},
            "ImagePullBackOff: Back-off pulling image",
        ),
    ],
)  # fmt: skip
def test_it_is_told_what_a_pod_waits_for(status: dict[str, Any], waits: str | None) -> None:
    assert job_runner.pod_of(pod(**status)).waits == waits


@pytest.mark.parametrize(
    ("status", "code", "fault"),
    [
        ({"containerStatuses": [{"name": "growgan", "state": {"terminated": {
            "exitCode": 1, "reason": "Error", "finishedAt": "t"}}}]}, 1, ""),
        ({"containerStatuses": [{"name": "growgan", "state": {"terminated": {
            "exitCode": 137, "reason": "OOMKilled", "finishedAt": "t"}}}]}, 137, "OOMKilled"),
        ({"reason": "Evicted", "message": "The node was low on resource: memory."},
         None, "Evicted: The node was low on resource: memory."),
    ],
)  # fmt: skip
def test_it_is_told_how_a_pod_ended(status: dict[str, Any], code: int | None, fault: str) -> None:
    found = job_runner.pod_of(pod(1, phase="Failed", **status))
    assert (found.status, found.fault, found.index) == (code, fault, 1)


def test_a_job_that_fails_without_a_status_may_pass() -> None:
    reason = {"reason": "BackoffLimitExceeded", "message": "It has failed"}
    failed = {"status": {"conditions": [{"type": "Failed", "status": "True", **reason}]}}
    evicted = job_runner.Pod("p", 0, None, None, "", "Evicted: low on memory")
    for pods, told in (([evicted], "Evicted: low on memory"), ([], ": ".join(reason.values()))):
        found = job_runner.end_of(failed, pods)
        assert found == (JobEnd(75, f"growgan: the Job has failed: {told}"), None)
    assert job_runner.end_of(None, []) == (
        JobEnd(75, "growgan: somebody has removed the Job"), None,
    )  # fmt: skip


def test_pods_that_find_no_place_are_not_waited_for_for_ever() -> None:
    told = Told([], [job(), PLACELESS])
    end, lines = run(told, wait_seconds=0.05)
    waits = "pod growgan-1-0-x waits: Unschedulable"
    assert end.status == 75
    assert end.error_text.endswith(f"`training.kubernetes.wait_seconds` says. Received: {waits}")
    assert lines[1:] == [waits]
    assert told.did() == ["create", "delete"]
    end, _ = run(Told([], [job(TWO), pod()]), TWO, wait_seconds=0.0)
    assert end.error_text.endswith("Received: 1 of 2 pods")


def test_pods_that_have_started_take_what_time_they_need() -> None:
    told = Told([], [job(), pod()], [job(), PLACELESS], SUCCESS)
    assert run(told, wait_seconds=1e-9)[0] == JobEnd(0)


def test_a_cluster_that_is_out_of_reach_for_a_while_changes_nothing() -> None:
    told = Told([], [job(), pod()], GONE, GONE, SUCCESS)
    assert run(told)[0] == JobEnd(0)
    assert told.did() == ["create", "delete"]


@pytest.mark.parametrize(
    "told", [Told(GONE), Told([], refuses=("create", GONE)), Told([], [job(), pod()], GONE)]
)
def test_one_that_stays_so_is_told_and_the_job_goes_on(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_runner, "PATIENCE", 0.02)
    assert run(told)[0] == JobEnd(75, f"growgan: {GONE}")
    assert "delete" not in told.did()


def test_what_the_cluster_refuses_is_a_mistake_that_leaves_no_job() -> None:
    refused = UserError("the cluster must do `kubectl apply`. Received: (Forbidden)")
    told = Told([], refuses=("apply", refused))
    with pytest.raises(UserError, match="Forbidden"):
        run(told, TWO)
    assert told.did() == ["create", "apply", "delete"]


def test_a_job_is_removed_when_this_process_is_told_to_stop() -> None:
    told = Told([], [job(), pod()], logs=("2026-01-01T00:00:01Z trains\n",))

    def stop(line: str) -> None:
        if line == "trains":
            raise SystemExit(143)

    with pytest.raises(SystemExit):
        run_job(told, ONE, stop, 60.0)
    assert told.did() == ["create", "delete"]


def test_what_comes_of_a_training_does_not_depend_on_the_removal() -> None:
    told = Told([], SUCCESS, refuses=("delete", GONE))
    assert run(told) == (
        JobEnd(0),
        ["Job growgan-1 is made, of 1 pod", f"Job growgan-1 may be left behind: {GONE}"],
    )
