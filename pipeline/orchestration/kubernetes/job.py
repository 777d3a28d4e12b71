"""Manifest of a Kubernetes Job that runs a `growgan` command, and settings for it.

A manifest is made from a file in deploy/: `job.yaml` for one pod, `jobset.yaml` for several.
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

CONTAINER = "growgan"  # Name of the container that runs the command, as in the files of deploy/.
LABEL = "app.kubernetes.io/instance"
"""Label on a Job, its pods and its Service, with the Job's name as value, to select them."""
CONTENT = "growgan/content"
"""Annotation of a Job with the hash of its specification, to recognize a Job of ours."""
KEEP_SECONDS = 24 * 60 * 60
"""Seconds after its end until Kubernetes removes a Job that the pipeline has not removed."""
_DEPLOY = resources.files("pipeline") / "orchestration" / "deploy"
# Fields that the setting `pod` must not override, because this module sets or needs them.
_OURS = {"containers", "restartPolicy", "subdomain", "volumes"}


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _quantity(text: str) -> str:
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?(m|[kMGTP]|[KMGTP]i)?", text) is None:
        raise ValueError("must have quantities such as 4, 500m or 8Gi")
    return text


def _refuse_our_fields(pod: dict[str, Any]) -> dict[str, Any]:
    if taken := sorted(pod.keys() & _OURS):
        raise ValueError(f"must leave {', '.join(taken)} to the manifests of growgan")
    return pod


Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]
"""Name of a Kubernetes object."""
Quantity = Annotated[str, AfterValidator(_quantity)]
"""Kubernetes quantity of a resource, such as `4`, `500m` or `8Gi`."""


class KubernetesConfig(Section, coerce_numbers_to_str=True):
    """Settings `training.kubernetes`, for trainings that run as Kubernetes Jobs."""

    image: Annotated[str, Field(pattern=r"^\S+$")]
    """Container image with the same version of growgan as on this machine."""
    mount_path: Annotated[Path, AfterValidator(_absolute)]
    """Path of the volume with this project, the same on this machine and in pods."""
    claim: Name = "growgan"
    """Name of the PersistentVolumeClaim of this volume."""
    resources: dict[str, Quantity] | None = None
    """Resource requests of each pod, such as `{cpu: 4, memory: 8Gi, nvidia.com/gpu: 1}`; also the
    limits, except for `cpu`. None for the values in deploy/."""
    pod: Annotated[dict[str, Any], AfterValidator(_refuse_our_fields), Field(default_factory=dict)]
    """Additional fields of the pods' specification, such as `nodeSelector`, `tolerations` or
    `imagePullSecrets`."""
    namespace: Name | None = None
    """Namespace, None for the context's."""
    context: str | None = None
    """Context in kubectl's configuration, or None for the current one."""
    kubectl: str = "kubectl"
    """Name or path of the program kubectl."""
    wait_seconds: Rate = 1800.0
    """Seconds that pods may take to start, including scheduling and the image pull."""


def name_of(run: Path) -> str:
    """Return the name of the Job for the training in a run folder, the same for every attempt."""
    # Hash the full path: projects with the same pictures may have run folders of the same name.
    return f"growgan-{hashlib.sha256(str(run).encode()).hexdigest()[:12]}"


def job_of(
    config: KubernetesConfig, name: str, arguments: Sequence[str], folder: Path, pods: int
) -> Manifest:
    """Return the manifest of a Job that runs `growgan …` in a folder of the volume.

    With several pods, each is a worker of one training.
    """
    spec = _read_shipped_spec(pods)
    spec.pop("podFailurePolicy")  # The pipeline reacts to exit statuses by its own rules.
    spec |= {
        "completionMode": "Indexed",
        "completions": pods,
        "parallelism": pods,
        "backoffLimit": 0,  # The pipeline retries steps by its own rules.
        "ttlSecondsAfterFinished": KEEP_SECONDS,
    }
    spec["template"]["metadata"] = {"labels": {LABEL: name}}
    pod = spec["template"]["spec"]
    # Run pods as this user, who must be able to change the files that they write.
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
        limits = {key: value for key, value in config.resources.items() if key != "cpu"}
        container["resources"] = {"requests": dict(config.resources), "limits": limits}
    if pods > 1:
        pod["subdomain"] = name
        [port] = container["ports"]
        hosts = [f"{name}-{index}.{name}:{port['containerPort']}" for index in range(pods)]
        index_variable, tf_config = container["env"]
        # Write the index without quotes: Kubernetes replaces `$(INDEX)` by the pod's number.
        here = f"$({index_variable['name']})"
        described = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": here}}
        tf_config["value"] = json.dumps(described).replace(f'"{here}"', here)
    # Switch off Python's output buffer, so that logs do not lag behind the training.
    container.setdefault("env", []).append({"name": "PYTHONUNBUFFERED", "value": "1"})
    content = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": {LABEL: name}, "annotations": {CONTENT: content}},
        "spec": spec,
    }


def service_of(job: Manifest, uid: str) -> Manifest:
    """Return the headless Service that gives a Job's pods host names; `uid` is the Job's."""
    name = job["metadata"]["name"]
    owner = {"apiVersion": job["apiVersion"], "kind": job["kind"], "name": name, "uid": uid}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        # Make the Job the owner, so that Kubernetes removes the Service with it.
        "metadata": {"name": name, "labels": {LABEL: name}, "ownerReferences": [owner]},
        "spec": {
            "clusterIP": "None",
            "selector": {LABEL: name},
            # Publish names at once: workers connect to each other before they are ready.
            "publishNotReadyAddresses": True,
        },
    }


def _read_shipped_spec(pods: int) -> Manifest:
    """Read the Job's specification for one or several pods from deploy/."""
    file = _DEPLOY / ("job.yaml" if pods == 1 else "jobset.yaml")
    spec: Manifest = yaml.safe_load(file.read_text())["spec"]
    if pods > 1:
        # Take only the Job inside the JobSet, so that the cluster needs no JobSet controller.
        [workers] = spec["replicatedJobs"]
        spec = workers["template"]["spec"]
    return spec
