"""A Job of Kubernetes from its start to the exit status of its pods, and its removal.

The cluster is asked every few seconds how things stand, in place of connections that would have to
last for days. So a cluster that is out of reach for a while changes nothing for the training.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import UserError
from pipeline.exit_status import AGAIN, STOPPED, WORKER_GONE
from pipeline.orchestration.commands import Say
from pipeline.orchestration.job import CONTENT, LABEL, Manifest, service_of
from pipeline.orchestration.kubectl import NoAnswer

EVERY = 2.0
"""Seconds between two looks."""
PATIENCE = 120.0
"""Seconds for which the cluster may be out of reach."""
BEYOND_GRACE = 60.0
"""Seconds that a removal may take beyond those that pods have to save what they did."""
MOST_LINES = 1000
"""Largest number of lines of its log that are shown when a Job is taken over."""
LAST_LINES = 20
"""Number of lines that are shown of the log of a failed pod."""
_STARTING = ("ContainerCreating", "PodInitializing")

Ask = Callable[..., str]
"""Words of kubectl, to its answer; `Kubectl` is one."""


@dataclass(frozen=True)
class End:
    """End of a Job.

    Args:
        status: The exit status of the pod that ended it; 75 if there is none, and another attempt
            may go better.
        complaint: The last that this pod said, and why it ended if not by itself.
    """

    status: int
    complaint: str = ""


@dataclass(frozen=True)
class Pod:
    """A pod, as the cluster tells of it.

    Args:
        name: Name in the cluster.
        index: Among the workers; the first is the chief.
        waits: Reason why it waits, None once it runs or has ended.
        status: Its exit status, None unless it has ended with one.
        ended: When that was; texts compare as times do.
        fault: Why it ended, if not by itself.
    """

    name: str
    index: int
    waits: str | None
    status: int | None
    ended: str
    fault: str


def run_job(kubectl: Ask, job: Manifest, say: Say, wait_seconds: float) -> End:
    """Run a Job to its end, and remove it; how it ended.

    One of the same name and content that is under way, or has succeeded, was left behind by a
    process that was killed, and is taken over. Any other is removed first, when its pods have saved
    what they did. If this process is told to stop, its own is removed in the same way. If the
    cluster is out of reach the Job goes on, and another attempt finds it.

    Args:
        kubectl: Asks the cluster.
        job: Its manifest.
        say: Shows a line of progress: of the first pod, and what pods wait for.
        wait_seconds: Seconds that pods may take to start.

    Raises:
        UserError: if the cluster refuses.
    """
    try:
        _begin(kubectl, job, say)
        end = _followed(kubectl, job, say, wait_seconds)
    except NoAnswer as error:
        return End(AGAIN, f"growgan: {error}")
    except BaseException:
        _remove_if_possible(kubectl, job, say)
        raise
    _remove_if_possible(kubectl, job, say)
    return end


def _begin(kubectl: Ask, job: Manifest, say: Say) -> None:
    name, count = job["metadata"]["name"], job["spec"]["completions"]
    there = _look(kubectl, job)[0]
    if there is not None and not _is_ours(there, job):
        say(f"Job {name} was left behind, and is removed first")
        _remove(kubectl, job)
        there = None
    if there is None:
        there = json.loads(kubectl("create", "--filename=-", "--output=json", given=job))
        say(f"Job {name} is made, of {count} pod{'s' if count > 1 else ''}")
    else:
        say(f"Job {name} is there already, and is taken over")
    if count > 1:
        # Also for one that is there: its maker may have been killed before it came to this.
        kubectl("apply", "--filename=-", given=service_of(job, there["metadata"]["uid"]))


def _is_ours(there: Manifest, job: Manifest) -> bool:
    """Return whether a Job is what was to be made, and is under way or has succeeded."""
    metadata = there["metadata"]
    same = metadata.get("annotations", {}).get(CONTENT) == job["metadata"]["annotations"][CONTENT]
    return same and "deletionTimestamp" not in metadata and _condition(there, "Failed") is None


def _followed(kubectl: Ask, job: Manifest, say: Say, wait_seconds: float) -> End:
    count = job["spec"]["completions"]
    log = _Log(kubectl, job)
    told: set[str] = set()
    begun = heard = time.monotonic()
    started = False
    while True:
        try:
            there, pods = _look(kubectl, job)
            heard = time.monotonic()
        except NoAnswer:
            if time.monotonic() > heard + PATIENCE:
                raise
            time.sleep(EVERY)
            continue
        for line in log.news(pods):
            say(line)
        end = end_of(there, pods)
        if end is not None:
            return log.with_last_lines(*end)
        waits = [f"pod {pod.name} waits: {pod.waits}" for pod in pods if pod.waits]
        for line in waits:
            if line not in told:
                say(line)
        told |= {*waits}
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
    """Return the end of a Job, and by which pod; None if it is under way."""
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
    """The first that failed is the cause; others then find it gone, or are told to stop."""
    return pod.status == WORKER_GONE, pod.status in STOPPED, pod.ended, pod.index


class _Log:
    """Log of a Job's pods.

    Args:
        kubectl: Asks the cluster.
        job: Their Job.
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
        # Of the second in which the last line was written all come again.
        since = f"--since-time={self._last.split()[0]}" if self._last else f"--tail={MOST_LINES}"
        lines = self._lines(chief, "--timestamps", since)
        if self._last in lines:
            lines = lines[lines.index(self._last) + 1 :]
        self._last = lines[-1] if lines else self._last
        return [line.partition(" ")[2] for line in lines]

    def with_last_lines(self, end: End, pod: Pod | None) -> End:
        """An end, and before its complaint the last that a pod wrote."""
        lines = [] if pod is None else self._lines(pod, f"--tail={LAST_LINES}")
        return End(end.status, "\n".join([*lines, end.complaint]).rstrip("\n"))

    def _lines(self, pod: Pod, *words: str) -> list[str]:
        try:
            text = self._kubectl("logs", pod.name, f"--container={self._container}", *words)
        except (NoAnswer, UserError):  # Logs are told, and decide nothing.
            return []
        return [line for line in text.split("\n") if line]


def _look(kubectl: Ask, job: Manifest) -> tuple[Manifest | None, list[Pod]]:
    """A Job, None if there is none, and its pods."""
    selector = f"--selector={LABEL}={job['metadata']['name']}"
    found = json.loads(kubectl("get", "jobs,pods", selector, "--output=json"))["items"]
    jobs = (each for each in found if each["kind"] == "Job")
    pods = [pod_of(each, _container_of(job)) for each in found if each["kind"] == "Pod"]
    return next(jobs, None), pods


def pod_of(told: Manifest, container: str) -> Pod:
    """Return a pod's state: what it waits for, how its container ended and why."""
    metadata, status = told["metadata"], told.get("status", {})
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


def _reason(told: Mapping[str, Any]) -> str:
    return ": ".join(told[key] for key in ("reason", "message") if told.get(key))


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
    """Remove a Job, and return when none of its pods is left.

    Raises:
        NoAnswer: if some are after their time.
    """
    grace: int = job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    seconds = grace + BEYOND_GRACE
    kubectl(
        *("delete", "job", job["metadata"]["name"], "--ignore-not-found"),
        # The Job is there as long as its pods are.
        *("--cascade=foreground", "--wait=true", f"--timeout={seconds:g}s"),
        seconds=seconds,
    )


def _remove_if_possible(kubectl: Ask, job: Manifest, say: Say) -> None:
    """The same, and a line if it fails: what came of the training does not depend on it."""
    try:
        _remove(kubectl, job)
    except (NoAnswer, UserError) as error:
        say(f"Job {job['metadata']['name']} may be left behind: {error}")
