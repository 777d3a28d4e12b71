"""Manifests of a command as a Kubernetes Job, by the settings `training.kubernetes`.

A manifest is made from a shipped one, `job.yaml` for one pod and `jobset.yaml` for several.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import yaml
from pydantic import AfterValidator, Field

from pipeline.config import Section
from pipeline.section import Rate

Manifest: TypeAlias = dict[str, Any]

CONTAINER = "growgan"
"""Name of the container that runs the command, in the shipped manifests too."""
LABEL = "app.kubernetes.io/instance"
"""Key of the label of a Job and its objects, whose value is the name of the Job."""
CONTENT = "growgan/content"
"""Key of the annotation of a Job with the hash of its manifest."""
KEPT = 24 * 60 * 60
"""Seconds after which Kubernetes removes a Job that has ended and that nobody has removed."""
_DEPLOY = resources.files("pipeline") / "orchestration" / "deploy"
# Fields of pods by which the command, its one start, its volume and its workers' names hold.
_OURS = {"containers", "restartPolicy", "subdomain", "volumes"}


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _quantity(text: str) -> str:
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?(m|[kMGTP]|[KMGTP]i)?", text) is None:
        raise ValueError("must have quantities such as 4, 500m or 8Gi")
    return text


def _further(pod: dict[str, Any]) -> dict[str, Any]:
    if taken := sorted(pod.keys() & _OURS):
        raise ValueError(f"must leave {', '.join(taken)} to the manifests of growgan")
    return pod


Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]
Quantity = Annotated[str, AfterValidator(_quantity)]


class KubernetesConfig(Section, coerce_numbers_to_str=True):
    """Settings of trainings that run as Jobs of Kubernetes."""

    image: Annotated[str, Field(pattern=r"^\S+$")]
    """Image with growgan, of the version that is installed here."""
    mount_path: Annotated[Path, AfterValidator(_absolute)]
    """Path of the volume with this project, here and in pods."""
    claim: Name = "growgan"
    """Name of the PersistentVolumeClaim of that volume."""
    resources: dict[str, Quantity] | None = None
    """Requests of each pod, such as `{cpu: 4, memory: 8Gi, nvidia.com/gpu: 1}`; all but `cpu` are
    its limits too. None for those of the shipped manifests."""
    pod: Annotated[dict[str, Any], AfterValidator(_further), Field(default_factory=dict)]
    """Further fields of the pods' specification, such as `nodeSelector`, `tolerations` or
    `imagePullSecrets`."""
    namespace: Name | None = None
    """Namespace, None for that of the context."""
    context: str | None = None
    """Context in kubectl's configuration, or None for the current one."""
    kubectl: str = "kubectl"
    """Program that is called."""
    wait_seconds: Rate = 1800.0
    """Seconds that pods may take to start, with their place on a node and their image."""


def name_of(run: Path) -> str:
    """Return the name of the Job that trains a run folder, the same for every attempt."""
    # By the whole path: projects with the same pictures have runs of the same name.
    return f"growgan-{hashlib.sha256(str(run).encode()).hexdigest()[:12]}"


def job_of(
    config: KubernetesConfig, name: str, arguments: Sequence[str], folder: Path, pods: int
) -> Manifest:
    """Return the manifest of a Job that runs `growgan …` in a folder of the volume.

    Several pods are the workers of one training.
    """
    spec = _shipped(pods)
    spec.pop("podFailurePolicy")  # The pipeline decides what follows from an exit status.
    spec |= {
        "completionMode": "Indexed",
        "completions": pods,
        "parallelism": pods,
        "backoffLimit": 0,  # The pipeline retries steps by its own rules.
        "ttlSecondsAfterFinished": KEPT,
    }
    spec["template"]["metadata"] = {"labels": {LABEL: name}}
    pod = spec["template"]["spec"]
    # This user adds to the files that pods write.
    pod["securityContext"] = {"runAsUser": os.getuid(), "runAsGroup": os.getgid()}
    pod |= config.pod
    pod["volumes"][0]["persistentVolumeClaim"]["claimName"] = config.claim
    [container] = pod["containers"]
    container |= {
        "name": CONTAINER,
        "image": config.image,
        "workingDir": str(folder),
        "command": ["growgan", *arguments],
    }
    container["volumeMounts"][0]["mountPath"] = str(config.mount_path)
    if config.resources is not None:
        limits = {name: much for name, much in config.resources.items() if name != "cpu"}
        container["resources"] = {"requests": dict(config.resources), "limits": limits}
    if pods > 1:
        pod["subdomain"] = name
        [port] = container["ports"]
        hosts = [f"{name}-{index}.{name}:{port['containerPort']}" for index in range(pods)]
        number, cluster = container["env"]
        # Kubernetes fills in the pod's number, which must not be in quotes.
        here = f"$({number['name']})"
        described = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": here}}
        cluster["value"] = json.dumps(described).replace(f'"{here}"', here)
    # Or logs would lag behind the training.
    container.setdefault("env", []).append({"name": "PYTHONUNBUFFERED", "value": "1"})
    content = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": {LABEL: name}, "annotations": {CONTENT: content}},
        "spec": spec,
    }


def service_of(job: Manifest, uid: str) -> Manifest:
    """Return the Service that gives the pods of a Job their names."""
    name = job["metadata"]["name"]
    owner = {"apiVersion": job["apiVersion"], "kind": job["kind"], "name": name, "uid": uid}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        # What a Job owns, by its UID in the cluster, is removed with it.
        "metadata": {"name": name, "labels": {LABEL: name}, "ownerReferences": [owner]},
        "spec": {
            "clusterIP": "None",
            "selector": {LABEL: name},
            # Workers wait for each other before any of them is ready.
            "publishNotReadyAddresses": True,
        },
    }


def _shipped(pods: int) -> Manifest:
    file = _DEPLOY / ("job.yaml" if pods == 1 else "jobset.yaml")
    spec: Manifest = yaml.safe_load(file.read_text())["spec"]
    if pods > 1:
        # The Job alone, so no cluster needs the controller of JobSets.
        [workers] = spec["replicatedJobs"]
        spec = workers["template"]["spec"]
    return spec
