"""Run a Kubernetes Job: start it, copy its log, wait for its exit status, and remove it.

We poll with kubectl instead of using dagster-k8s 0.29.27. In a test with a simulated API server,
after the log connection broke, `execute_k8s_job` lost 51 of 150 log lines and `PipesK8sClient` lost
128. After a kill, or a minute without the server, both started a second Job beside the first or,
with a fixed name, failed with status 409. Neither returns the exit status. Polling lost no line and
found its Job again.
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

POLL_SECONDS = 2.0  # Seconds between two polls of the cluster.
PATIENCE = 120.0  # Seconds without an answer from the cluster before this attempt fails.
BEYOND_GRACE = 60.0  # Seconds that a removal may take after the pods' grace period.
MAX_LINES = 1000  # Maximum number of earlier lines to log when a Job is taken over.
LAST_LINES = 20  # Number of last lines of a failed pod to add to the error text.
# Reasons that only mean that the image is being pulled or the volume mounted.
_STARTING = ("ContainerCreating", "PodInitializing")

CallKubectl = Callable[..., str]
"""Function that runs kubectl and returns its output, such as an instance of `Kubectl`."""


@dataclass(frozen=True)
class JobEnd:
    """End of a Job as an exit status, with a text for people."""

    status: int  # Exit status of the pod that caused the end; 75 (try again) without one.
    error_text: str = ""  # Last lines of this pod, and the reason if something else ended it.


@dataclass(frozen=True)
class Pod:
    """State of a pod in the cluster."""

    name: str
    index: int  # Index of the worker; 0 is the chief, whose output is logged.
    waits: str | None  # What a pod that has not started waits for, None once it runs or has ended.
    status: int | None  # Exit status of the container, None without one.
    ended: str  # Time of the end in ISO 8601, which sorts as text.
    fault: str  # Reason why the cluster ended it, empty if it ended by itself.


def run_job(kubectl: CallKubectl, job: Manifest, log: Log, wait_seconds: float) -> JobEnd:
    """Run a Job to its end, remove it, and return how it ended.

    A Job of the same name and content that is in progress or has succeeded was left by a killed
    process: it is taken over. Any other Job of this name is removed first, after its pods have
    saved their work. A signal to this process removes the Job in the same way. If the cluster
    cannot be reached, the Job goes on, and the next attempt takes it over.

    `log` gets the lines of the first pod, and what each pod waits for. Pods that have not started
    after `wait_seconds` end the attempt.

    Raises:
        UserError: if the cluster refuses a call.
    """
    try:
        _begin(kubectl, job, log)
        end = _follow(kubectl, job, log, wait_seconds)
    except NoAnswer as error:
        return JobEnd(AGAIN, f"growgan: {error}")
    except BaseException:  # A signal raises too.
        _remove_if_possible(kubectl, job, log)
        raise
    _remove_if_possible(kubectl, job, log)
    return end


def _begin(kubectl: CallKubectl, job: Manifest, log: Log) -> None:
    """Create a Job or take over the one that is there, and give several pods a Service."""
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
        # Do it for a Job that was taken over too: its creator may have been killed before this.
        kubectl("apply", "--filename=-", given=service_of(job, there["metadata"]["uid"]))


def _is_ours(there: Manifest, job: Manifest) -> bool:
    """Return whether a Job has our content, and is in progress or has succeeded."""
    metadata = there["metadata"]
    same = metadata.get("annotations", {}).get(CONTENT) == job["metadata"]["annotations"][CONTENT]
    return same and "deletionTimestamp" not in metadata and _condition(there, "Failed") is None


def _follow(kubectl: CallKubectl, job: Manifest, log: Log, wait_seconds: float) -> JobEnd:
    """Poll a Job until it ends or does not start in time; log its output meanwhile."""
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
            time.sleep(POLL_SECONDS)
            continue
        lines = _new_lines(kubectl, pods, last_line)
        for line in lines:
            log(line.partition(" ")[2])  # Without the time, which comes first.
        last_line = lines[-1] if lines else last_line
        end = end_of(there, pods)
        if end is not None:
            return _with_last_lines(kubectl, *end)
        waits = [f"pod {pod.name} waits: {pod.waits}" for pod in pods if pod.waits]
        for line in waits:
            if line not in logged:
                log(line)
        logged |= {*waits}
        # Apply the time limit only until all pods have started once.
        started = started or (len(pods) == count and not waits)
        if not started and time.monotonic() > begun + wait_seconds:
            return JobEnd(
                AGAIN,
                f"growgan: pods must start within {wait_seconds:g} s, as "
                "`training.kubernetes.wait_seconds` says. Received: "
                + (waits[0] if waits else f"{len(pods)} of {count} pods"),
            )
        time.sleep(POLL_SECONDS)


def end_of(there: Manifest | None, pods: Sequence[Pod]) -> tuple[JobEnd, Pod | None] | None:
    """Return how a Job ended and the pod that caused it, None while it is in progress.

    `there` is the Job as the cluster describes it, None if somebody has removed it.
    """
    if there is None:
        return JobEnd(AGAIN, "growgan: somebody has removed the Job"), None
    if _condition(there, "Complete") is not None:
        return JobEnd(0), None
    failed = _condition(there, "Failed")
    if failed is None:
        return None
    pod = min((each for each in pods if each.status), key=_precedence, default=None)
    if pod is None or pod.status is None:
        fault = next((each.fault for each in pods if each.fault), _reason(failed))
        return JobEnd(AGAIN, f"growgan: the Job has failed: {fault}"), None
    fault = f"growgan: pod {pod.name} was ended: {pod.fault}" if pod.fault else ""
    return JobEnd(pod.status, fault), pod


def _precedence(pod: Pod) -> tuple[bool, bool, str, int]:
    """Return a sort key by which the pod that most likely caused a failure comes first."""
    # Sort last the statuses of pods that only followed: they lost a worker, or were stopped.
    return pod.status == WORKER_GONE, pod.status in STOPPED, pod.ended, pod.index


def _new_lines(kubectl: CallKubectl, pods: Sequence[Pod], last: str) -> list[str]:
    """Return the first pod's lines after the last line that was read, each with its time."""
    chief = next((pod for pod in pods if pod.index == 0 and pod.waits is None), None)
    if chief is None:
        return []
    # Cut at the last line: `--since-time` counts whole seconds, so it repeats lines.
    since = f"--since-time={last.split()[0]}" if last else f"--tail={MAX_LINES}"
    lines = _lines(kubectl, chief, "--timestamps", since)
    return lines[lines.index(last) + 1 :] if last in lines else lines


def _with_last_lines(kubectl: CallKubectl, end: JobEnd, pod: Pod | None) -> JobEnd:
    """Return the end with a pod's last lines at the start of its error text."""
    lines = [] if pod is None else _lines(kubectl, pod, f"--tail={LAST_LINES}")
    return replace(end, error_text="\n".join([*lines, end.error_text]).rstrip("\n"))


def _lines(kubectl: CallKubectl, pod: Pod, *words: str) -> list[str]:
    try:
        # Name the container, because a cluster may add others to the pod.
        text = kubectl("logs", pod.name, f"--container={CONTAINER}", *words)
    except (NoAnswer, UserError):  # Go on without logs: nothing depends on them.
        return []
    # Do not use `splitlines`: text after a carriage return belongs to the same line and time.
    return [line for line in text.split("\n") if line]


def _look(kubectl: CallKubectl, job: Manifest) -> tuple[Manifest | None, list[Pod]]:
    """Read a Job, None if there is none, and its pods from the cluster."""
    selector = f"--selector={LABEL}={job['metadata']['name']}"
    found = json.loads(kubectl("get", "jobs,pods", selector, "--output=json"))["items"]
    jobs = (each for each in found if each["kind"] == "Job")
    pods = [pod_of(each) for each in found if each["kind"] == "Pod"]
    return next(jobs, None), pods


def pod_of(found: Manifest) -> Pod:
    """Return the state of a pod, given the cluster's description."""
    metadata, status = found["metadata"], found.get("status", {})
    states = {each["name"]: each["state"] for each in status.get("containerStatuses", [])}
    state: Mapping[str, Any] = states.get(CONTAINER, {})
    ended = state.get("terminated", {})
    waits = None
    if status.get("phase", "Pending") == "Pending":
        conditions = {each["type"]: each for each in status.get("conditions", [])}
        scheduled, waiting = conditions.get("PodScheduled", {}), state.get("waiting", {})
        if scheduled.get("status") == "False":
            waits = _reason(scheduled)
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
    # Check the status: a condition that no longer holds stays in the list with another one.
    found = (each for each in conditions if (each["type"], each["status"]) == (name, "True"))
    return next(found, None)


def _remove(kubectl: CallKubectl, job: Manifest) -> None:
    """Remove a Job, and wait until its pods are gone.

    Raises:
        NoAnswer: if pods are left after their grace period and `BEYOND_GRACE`.
    """
    grace: int = job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    seconds = grace + BEYOND_GRACE
    kubectl(
        *("delete", "job", job["metadata"]["name"], "--ignore-not-found"),
        # Keep the Job until its pods are gone, so that `--wait` waits for the pods too.
        *("--cascade=foreground", "--wait=true", f"--timeout={seconds:g}s"),
        seconds=seconds,
    )


def _remove_if_possible(kubectl: CallKubectl, job: Manifest, log: Log) -> None:
    """Remove a Job, and only log if that fails."""
    try:
        _remove(kubectl, job)
    except (NoAnswer, UserError) as error:  # Do not fail: the result of the Job is known.
        log(f"Job {job['metadata']['name']} may be left behind: {error}")
