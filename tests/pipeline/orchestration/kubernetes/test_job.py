"""The Job of a training: the shipped manifests, but for what a project says."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.orchestration.kubernetes.job import (
    CONTENT,
    LABEL,
    KubernetesConfig,
    job_of,
    name_of,
    service_of,
)
from pipeline.training.distributed.cluster import Cluster, cluster_of

DEPLOY = resources.files("pipeline") / "orchestration" / "deploy"
WORDS = ("train", "--out", "/data/faces/runs/r")


def config(**changes: Any) -> KubernetesConfig:
    return KubernetesConfig.model_validate(
        {"image": "registry/growgan:1", "mount_path": "/data", **changes}
    )


def made(pods: int, **changes: Any) -> dict[str, Any]:
    return job_of(config(**changes), "growgan-1", WORDS, Path("/data/faces"), pods)


def shipped(pods: int) -> dict[str, Any]:
    """The specification of a Job that is in a manifest."""
    name = "job.yaml" if pods == 1 else "jobset.yaml"
    spec: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())["spec"]
    if pods > 1:
        spec = spec["replicatedJobs"][0]["template"]["spec"]
    return spec


@pytest.mark.parametrize("pods", [1, 2])
def test_a_pod_is_the_shipped_one_but_for_what_a_project_says(pods: int) -> None:
    job = made(pods, claim="pictures")
    pod, before = (each["template"]["spec"] for each in (job["spec"], shipped(pods)))
    [container], [was] = pod["containers"], before["containers"]
    assert container["command"] == ["growgan", *WORDS]
    assert (container["image"], container["workingDir"]) == ("registry/growgan:1", "/data/faces")
    assert container["volumeMounts"] == [{"name": "work", "mountPath": "/data"}]
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "pictures"}
    assert pod["securityContext"] == {"runAsUser": os.getuid(), "runAsGroup": os.getgid()}
    ours = {"command", "image", "workingDir", "volumeMounts", "env"}
    assert {key: container[key] for key in container.keys() - ours} == {
        key: was[key] for key in was.keys() - ours
    }
    ours = {"containers", "volumes", "securityContext", "subdomain"}
    assert {key: pod[key] for key in pod.keys() - ours} == {
        key: before[key] for key in before.keys() - ours
    }
    # It is tried again by the pipeline, and by nobody else.
    assert job["spec"]["backoffLimit"] == 0
    assert "podFailurePolicy" not in job["spec"]
    assert pod["restartPolicy"] == "Never"


def test_every_pod_finds_its_workers() -> None:
    job = made(3)
    spec = job["spec"]
    assert (spec["completionMode"], spec["parallelism"], spec["completions"]) == ("Indexed", 3, 3)
    pod = spec["template"]["spec"]
    service = service_of(job, "u-1")
    assert service["metadata"]["name"] == pod["subdomain"]
    assert service["spec"]["selector"] == spec["template"]["metadata"]["labels"]
    assert service["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    [container] = pod["containers"]
    assert container["args"] == ["--set", "run.strategy=multi_worker"]
    number, tf_config, _ = container["env"]
    addresses = tuple(f"growgan-1-{index}.growgan-1:2222" for index in range(3))
    for index in range(3):
        value = tf_config["value"].replace(f"$({number['name']})", str(index))
        assert cluster_of({"TF_CONFIG": value}) == Cluster(addresses, index)


def test_one_pod_trains_by_the_strategy_of_the_run() -> None:
    [container] = made(1)["spec"]["template"]["spec"]["containers"]
    assert "args" not in container
    assert [each["name"] for each in container["env"]] == ["PYTHONUNBUFFERED"]


def test_what_a_project_says_of_pods_is_put_in() -> None:
    taints = [{"key": "gpu", "operator": "Exists"}]
    user = {"runAsUser": 7}
    job = made(
        2,
        resources={"cpu": 4, "memory": "8Gi", "nvidia.com/gpu": 1},
        pod={"tolerations": taints, "securityContext": user},
    )
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"] == {
        "requests": {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1"},
        "limits": {"memory": "8Gi", "nvidia.com/gpu": "1"},
    }
    assert (pod["tolerations"], pod["securityContext"]) == (taints, user)


def test_a_job_is_told_from_another_by_its_content() -> None:
    def content(job: dict[str, Any]) -> str:
        found: str = job["metadata"]["annotations"][CONTENT]
        return found

    assert content(made(2)) == content(made(2))
    others = [made(1), made(2, image="growgan:2"), made(2, pod={"priorityClassName": "low"})]
    assert len({content(job) for job in (made(2), *others)}) == 4
    assert made(2)["metadata"]["labels"] == {LABEL: "growgan-1"}


def test_the_name_follows_from_the_folder_of_the_run() -> None:
    """Of two projects with the same pictures none finds the Job of the other."""
    one, same, other = (Path(f"/data/{each}/runs/r") for each in ("a", "a", "b"))
    assert name_of(one) == name_of(same) != name_of(other)
    assert len(name_of(one)) < 50  # a label, and with the number of a pod the name of a host
