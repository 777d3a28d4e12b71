"""Follow a Job of Kubernetes from its start to the exit status of its pods, and remove it.

The cluster is polled every few seconds, as a connection would have to last for days. So a cluster
that cannot be reached for a while changes nothing for the training.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import UserError
from pipeline.exit_status import AGAIN, STOPPED, WORKER_GONE
from pipeline.orchestration.commands import Log
from pipeline.orchestration.kubernetes.job import CONTENT, LABEL, Manifest, service_of
from pipeline.orchestration.kubernetes.kubectl import NoAnswer

EVERY = 2.0
"""Seconds between two polls of the cluster."""
PATIENCE = 120.0
"""Seconds without an answer of the cluster, after which this attempt fails."""
BEYOND_GRACE = 60.0
"""Seconds that a removal may take beyond the grace period of the pods."""
MOST_LINES = 1000
"""Largest number of earlier lines that are logged when a Job is taken over."""
LAST_LINES = 20
"""Number of last lines of a failed pod in the error text."""
_STARTING = ("ContainerCreating", "PodInitializing")

Ask = Callable[..., str]
"""Runs kubectl with words, and returns its output; `Kubectl` is one."""


@dataclass(frozen=True)
class End:
    """End of a Job.

    Args:
        status: Exit status of the pod that ended the Job; 75 if there is none, and another attempt
            may succeed.
        error_text: Last lines of this pod, and the reason if it did not end by itself.
    """

    status: int
    error_text: str = ""


@dataclass(frozen=True)
class Pod:
    """State of a pod in the cluster.

    Args:
        name: Name in the cluster.
        index: Number among the workers; 0 is the chief.
        waits: Reason why it waits, None once it runs or has ended.
        status: Exit status, None unless it has ended with one.
        ended: Time of the end, as text that compares as times do.
        fault: Reason why it ended, empty if it ended by itself.
    """

    name: str
    index: int
    waits: str | None
    status: int | None
    ended: str
    fault: str


def run_job(kubectl: Ask, job: Manifest, log: Log, wait_seconds: float) -> End:
    """Run a Job to its end, remove it, and return how it ended.

    A Job of the same name and content that is in progress, or has succeeded, was left by a killed
    process, and is taken over. Any other of this name is removed first, after its pods have saved
    their work. A signal to this process removes the Job in the same way. If the cluster cannot be
    reached, the Job goes on, and another attempt finds it.

    Args:
        kubectl: Function that calls kubectl.
        job: Manifest of the Job.
        log: Logger of progress: lines of the first pod, and what pods wait for.
        wait_seconds: Seconds that pods may take to start.

    Raises:
        UserError: if the cluster refuses.
    """
    try:
        _begin(kubectl, job, log)
        end = _followed(kubectl, job, log, wait_seconds)
    except NoAnswer as error:
        return End(AGAIN, f"growgan: {error}")
    except BaseException:
        _remove_if_possible(kubectl, job, log)
        raise
    _remove_if_possible(kubectl, job, log)
    return end


def _begin(kubectl: Ask, job: Manifest, log: Log) -> None:
    name, count = job["metadata"]["name"], job["spec"]["completions"]
    there = _look(kubectl, job)[0]
    if there is not None and not _is_ours(there, job):
        log(f"Job {name} was left behind, and is removed first")
        _remove(kubectl, job)
        there = None
    if there is None:
        there = json.loads(kubectl("create", "--filename=-", "--output=json", given=job))
        log(f"Job {name} is made, of {count} pod{'s' if count > 1 else ''}")
    else:
        log(f"Job {name} is there already, and is taken over")
    if count > 1:
        # Also where the Job is there: its maker may have been killed before it made the Service.
        kubectl("apply", "--filename=-", given=service_of(job, there["metadata"]["uid"]))


def _is_ours(there: Manifest, job: Manifest) -> bool:
    """Return whether a Job has our content, and is in progress or has succeeded."""
    metadata = there["metadata"]
    same = metadata.get("annotations", {}).get(CONTENT) == job["metadata"]["annotations"][CONTENT]
    return same and "deletionTimestamp" not in metadata and _condition(there, "Failed") is None


def _followed(kubectl: Ask, job: Manifest, log: Log, wait_seconds: float) -> End:
    count = job["spec"]["completions"]
    chief_log = _Log(kubectl, job)
    logged: set[str] = set()
    begun = answered = time.monotonic()
    started = False
    while True:
        try:
            there, pods = _look(kubectl, job)
            answered = time.monotonic()
        except NoAnswer:
            if time.monotonic() > answered + PATIENCE:
                raise
            time.sleep(EVERY)
            continue
        for line in chief_log.news(pods):
            log(line)
        end = end_of(there, pods)
        if end is not None:
            return chief_log.with_last_lines(*end)
        waits = [f"pod {pod.name} waits: {pod.waits}" for pod in pods if pod.waits]
        for line in waits:
            if line not in logged:
                log(line)
        logged |= {*waits}
        started = started or (len(pods) == count and not waits)
        if not started and time.monotonic() > begun + wait_seconds:
            return End(
                AGAIN,
                f"growgan: pods must start within {wait_seconds:g} s, as "
                "`training.kubernetes.wait_seconds` says. Received: "
                + (waits[0] if waits else f"{len(pods)} of {count} pods"),
            )
        time.sleep(EVERY)


def end_of(there: Manifest | None, pods: Sequence[Pod]) -> tuple[End, Pod | None] | None:
    """Return the end of a Job and the pod that ended it, None while it is in progress."""
    if there is None:
        return End(AGAIN, "growgan: somebody has removed the Job"), None
    if _condition(there, "Complete") is not None:
        return End(0), None
    failed = _condition(there, "Failed")
    if failed is None:
        return None
    pod = min((each for each in pods if each.status), key=_precedence, default=None)
    if pod is None or pod.status is None:
        fault = next((each.fault for each in pods if each.fault), _reason(failed))
        return End(AGAIN, f"growgan: the Job has failed: {fault}"), None
    fault = f"growgan: pod {pod.name} was ended: {pod.fault}" if pod.fault else ""
    return End(pod.status, fault), pod


def _precedence(pod: Pod) -> tuple[bool, bool, str, int]:
    """Order pods by how likely they are the cause.

    The first that failed is the cause: the others then miss it, or are stopped.
    """
    return pod.status == WORKER_GONE, pod.status in STOPPED, pod.ended, pod.index


class _Log:
    """Log of a Job's pods.

    Args:
        kubectl: Function that calls kubectl.
        job: Manifest of the Job.
    """

    def __init__(self, kubectl: Ask, job: Manifest) -> None:
        self._kubectl = kubectl
        self._container = _container_of(job)
        self._last = ""

    def news(self, pods: Sequence[Pod]) -> list[str]:
        """Return the lines of the first pod since the last call."""
        chief = next((pod for pod in pods if pod.index == 0 and pod.waits is None), None)
        if chief is None:
            return []
        # `--since-time` counts whole seconds, so lines of the last second come twice.
        since = f"--since-time={self._last.split()[0]}" if self._last else f"--tail={MOST_LINES}"
        lines = self._lines(chief, "--timestamps", since)
        if self._last in lines:
            lines = lines[lines.index(self._last) + 1 :]
        self._last = lines[-1] if lines else self._last
        return [line.partition(" ")[2] for line in lines]

    def with_last_lines(self, end: End, pod: Pod | None) -> End:
        """Return an end whose error text begins with the last lines of a pod."""
        lines = [] if pod is None else self._lines(pod, f"--tail={LAST_LINES}")
        return End(end.status, "\n".join([*lines, end.error_text]).rstrip("\n"))

    def _lines(self, pod: Pod, *words: str) -> list[str]:
        try:
            text = self._kubectl("logs", pod.name, f"--container={self._container}", *words)
        except (NoAnswer, UserError):  # Logs decide nothing: the Job goes on without them.
            return []
        return [line for line in text.split("\n") if line]


def _look(kubectl: Ask, job: Manifest) -> tuple[Manifest | None, list[Pod]]:
    """Return a Job, None if there is none, and its pods."""
    selector = f"--selector={LABEL}={job['metadata']['name']}"
    found = json.loads(kubectl("get", "jobs,pods", selector, "--output=json"))["items"]
    jobs = (each for each in found if each["kind"] == "Job")
    pods = [pod_of(each, _container_of(job)) for each in found if each["kind"] == "Pod"]
    return next(jobs, None), pods


def pod_of(found: Manifest, container: str) -> Pod:
    """Return a pod's state: what it waits for, how its container ended and why."""
    metadata, status = found["metadata"], found.get("status", {})
    states = {each["name"]: each["state"] for each in status.get("containerStatuses", [])}
    state: Mapping[str, Any] = states.get(container, {})
    ended = state.get("terminated", {})
    waits = None
    if status.get("phase", "Pending") == "Pending":
        conditions = {each["type"]: each for each in status.get("conditions", [])}
        place, waiting = conditions.get("PodScheduled", {}), state.get("waiting", {})
        if place.get("status") == "False":
            waits = _reason(place)
        elif waiting and waiting.get("reason") not in _STARTING:
            waits = _reason(waiting)
        else:
            waits = "its image and volume"
    return Pod(
        name=metadata["name"],
        index=int(metadata["annotations"]["batch.kubernetes.io/job-completion-index"]),
        waits=waits,
        status=ended.get("exitCode"),
        ended=ended.get("finishedAt", ""),
        fault=_reason(status) or (_reason(ended) if ended.get("reason") != "Error" else ""),
    )


def _reason(state: Mapping[str, Any]) -> str:
    return ": ".join(state[key] for key in ("reason", "message") if state.get(key))


def _condition(job: Manifest, name: str) -> Mapping[str, Any] | None:
    for condition in job.get("status", {}).get("conditions", []):
        if condition["type"] == name and condition["status"] == "True":
            found: Mapping[str, Any] = condition
            return found
    return None


def _container_of(job: Manifest) -> str:
    [container] = job["spec"]["template"]["spec"]["containers"]
    name: str = container["name"]
    return name


def _remove(kubectl: Ask, job: Manifest) -> None:
    """Remove a Job, and wait until none of its pods is left.

    Raises:
        NoAnswer: if pods are left after their grace period.
    """
    grace: int = job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    seconds = grace + BEYOND_GRACE
    kubectl(
        *("delete", "job", job["metadata"]["name"], "--ignore-not-found"),
        # In the foreground: the Job is there as long as its pods are, so the wait covers them.
        *("--cascade=foreground", "--wait=true", f"--timeout={seconds:g}s"),
        seconds=seconds,
    )


def _remove_if_possible(kubectl: Ask, job: Manifest, log: Log) -> None:
    """Remove a Job, and only log if that fails: the training has ended either way."""
    try:
        _remove(kubectl, job)
    except (NoAnswer, UserError) as error:
        log(f"Job {job['metadata']['name']} may be left behind: {error}")
