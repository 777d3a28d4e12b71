"""Follow a Job of Kubernetes from its start to the exit status of its pods, and remove it.

Not by dagster-k8s 0.29.27: before a stand-in for the API server, `execute_k8s_job` lost 51 of 150
lines once its log connection had ended, and `PipesK8sClient` 128. After a kill, or a minute without
the server, both started a second writer beside the first, or failed (409) where the Job's name was
fixed. Both end with a text in place of the exit status. Polling lost no line and found its Job.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.errors import UserError
from pipeline.exit_status import AGAIN, STOPPED, WORKER_GONE
from pipeline.orchestration.commands import Log
from pipeline.orchestration.kubernetes.job import CONTAINER, CONTENT, LABEL, Manifest, service_of
from pipeline.orchestration.kubernetes.kubectl import NoAnswer

EVERY = 2.0
"""Seconds between two polls of the cluster; a connection would have to last for days."""
PATIENCE = 120.0
"""Seconds without an answer of the cluster, after which this attempt fails."""
BEYOND_GRACE = 60.0
"""Seconds that a removal may take beyond the grace period of the pods."""
MOST_LINES = 1000
"""Largest number of earlier lines that are logged when a Job is taken over."""
LAST_LINES = 20
"""Number of last lines of a failed pod in the error text."""
# Reasons that say no more than that the image is pulled and the volume mounted.
_STARTING = ("ContainerCreating", "PodInitializing")

Ask = Callable[..., str]
"""Runs kubectl with words, and returns its output; `Kubectl` is one."""


@dataclass(frozen=True)
class End:
    """End of a Job."""

    status: int
    """Exit status of the pod that ended it, or 75 if there is none and a retry may succeed."""
    error_text: str = ""
    """Last lines of this pod, and the reason if it did not end by itself."""


@dataclass(frozen=True)
class Pod:
    """State of a pod in the cluster."""

    name: str
    index: int
    """Number among the workers; 0 is the chief."""
    waits: str | None
    """Reason why it waits, None once it runs or has ended."""
    status: int | None
    """Exit status, None unless it has ended with one."""
    ended: str
    """Time of the end, as text that compares as times do."""
    fault: str
    """Reason why it ended, empty if it ended by itself."""


def run_job(kubectl: Ask, job: Manifest, log: Log, wait_seconds: float) -> End:
    """Run a Job to its end, remove it, and return how it ended.

    A Job of the same name and content that is in progress, or has succeeded, was left by a killed
    process, and is taken over. Any other of this name is removed first, after its pods have saved
    their work. A signal to this process removes the Job in the same way. If the cluster cannot be
    reached, the Job goes on, and another attempt finds it.

    `log` gets the lines of the first pod, and what each pod waits for. Pods that have not started
    after `wait_seconds` end the attempt.

    Raises:
        UserError: if the cluster refuses.
    """
    try:
        _begin(kubectl, job, log)
        end = _followed(kubectl, job, log, wait_seconds)
    except NoAnswer as error:
        return End(AGAIN, f"growgan: {error}")
    except BaseException:  # Signals too, which end this process by an exception.
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
    """Return True if a Job has our content, and is in progress or has succeeded."""
    metadata = there["metadata"]
    same = metadata.get("annotations", {}).get(CONTENT) == job["metadata"]["annotations"][CONTENT]
    return same and "deletionTimestamp" not in metadata and _condition(there, "Failed") is None


def _followed(kubectl: Ask, job: Manifest, log: Log, wait_seconds: float) -> End:
    count = job["spec"]["completions"]
    last_line = ""
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
        lines = _news(kubectl, pods, last_line)
        for line in lines:
            log(line.partition(" ")[2])
        last_line = lines[-1] if lines else last_line
        end = end_of(there, pods)
        if end is not None:
            return _with_last_lines(kubectl, *end)
        waits = [f"pod {pod.name} waits: {pod.waits}" for pod in pods if pod.waits]
        for line in waits:
            if line not in logged:
                log(line)
        logged |= {*waits}
        # From then on nothing is late: the limit is for the start alone.
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
    """Order pods by how likely they are the cause."""
    # The first that failed is the cause: the others then miss it, or are stopped.
    return pod.status == WORKER_GONE, pod.status in STOPPED, pod.ended, pod.index


def _news(kubectl: Ask, pods: Sequence[Pod], last: str) -> list[str]:
    """Return the lines of the first pod after the last known one, each with its time."""
    chief = next((pod for pod in pods if pod.index == 0 and pod.waits is None), None)
    if chief is None:
        return []
    # `--since-time` counts whole seconds, so lines of the last second come twice.
    since = f"--since-time={last.split()[0]}" if last else f"--tail={MOST_LINES}"
    lines = _lines(kubectl, chief, "--timestamps", since)
    return lines[lines.index(last) + 1 :] if last in lines else lines


def _with_last_lines(kubectl: Ask, end: End, pod: Pod | None) -> End:
    """Return an end whose error text begins with the last lines of a pod."""
    lines = [] if pod is None else _lines(kubectl, pod, f"--tail={LAST_LINES}")
    return replace(end, error_text="\n".join([*lines, end.error_text]).rstrip("\n"))


def _lines(kubectl: Ask, pod: Pod, *words: str) -> list[str]:
    try:
        # By its name, as a cluster may add containers of its own.
        text = kubectl("logs", pod.name, f"--container={CONTAINER}", *words)
    except (NoAnswer, UserError):  # Logs decide nothing: the Job goes on without them.
        return []
    # Not `splitlines`: what comes after a carriage return has no time of its own.
    return [line for line in text.split("\n") if line]


def _look(kubectl: Ask, job: Manifest) -> tuple[Manifest | None, list[Pod]]:
    """Return a Job, None if there is none, and its pods."""
    selector = f"--selector={LABEL}={job['metadata']['name']}"
    found = json.loads(kubectl("get", "jobs,pods", selector, "--output=json"))["items"]
    jobs = (each for each in found if each["kind"] == "Job")
    pods = [pod_of(each) for each in found if each["kind"] == "Pod"]
    return next(jobs, None), pods


def pod_of(found: Manifest) -> Pod:
    """Return a pod's state: what it waits for, how its container ended and why."""
    metadata, status = found["metadata"], found.get("status", {})
    states = {each["name"]: each["state"] for each in status.get("containerStatuses", [])}
    state: Mapping[str, Any] = states.get(CONTAINER, {})
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
    conditions = job.get("status", {}).get("conditions", [])
    # One that no longer holds stays in the list, with another status.
    found = (each for each in conditions if (each["type"], each["status"]) == (name, "True"))
    return next(found, None)


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
    """Remove a Job, and only log if that fails."""
    try:
        _remove(kubectl, job)
    except (NoAnswer, UserError) as error:  # The training has ended either way.
        log(f"Job {job['metadata']['name']} may be left behind: {error}")
