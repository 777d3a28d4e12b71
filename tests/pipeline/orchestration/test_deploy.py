"""What is shipped for Kubernetes and Slurm, against their schemas and against growgan."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import exit_status
from pipeline.orchestration.kubernetes import job as jobs
from pipeline.training.distributed.cluster import Cluster, cluster_of

DEPLOY = resources.files("pipeline") / "orchestration" / "deploy"
ROOT = Path(__file__).parents[3]
KINDS = {
    "job.yaml": "IoK8sApiBatchV1Job",
    "jobset.yaml": "JobsetV1alpha2JobSet",
    "volume.yaml": "IoK8sApiCoreV1PersistentVolumeClaim",
}
SERVICE = "IoK8sApiCoreV1Service"
VERSIONS = {"Job": "batch/v1", "JobSet": "jobset.x-k8s.io/v1alpha2", "PersistentVolumeClaim": "v1"}
GO_ON = {
    exit_status.WORKER_GONE,
    exit_status.FILE,
    exit_status.AGAIN,
    *exit_status.STOPPED,
    exit_status.of_signal(9),
}
"""The exit statuses after which a scheduler is to start again, as docs/training.md says."""


def manifest(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return loaded


def schema_of(kind: str) -> Any:
    from kubeflow_trainer_api import models  # takes a second or more

    return getattr(models, kind)


def job_of(name: str) -> dict[str, Any]:
    spec = manifest(name)["spec"]
    if name == "job.yaml":
        return dict(spec)
    [replicated] = spec["replicatedJobs"]
    assert (replicated["name"], replicated["replicas"]) == ("worker", 1)
    return dict(replicated["template"]["spec"])


def pod_of(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pod and its one container."""
    pod = job_of(name)["template"]["spec"]
    [container] = pod["containers"]
    return pod, container


@pytest.mark.parametrize("name", KINDS)
def test_manifests_have_the_fields_of_their_kind_and_no_others(name: str) -> None:
    loaded = manifest(name)
    parsed = schema_of(KINDS[name]).from_dict(loaded)
    # What the model does not know would be missing.
    assert parsed.to_dict() == loaded
    assert loaded["apiVersion"] == VERSIONS[loaded["kind"]]


@pytest.mark.parametrize("pods", [1, 2])
def test_so_have_those_that_the_pipeline_makes_of_them(pods: int) -> None:
    further = {"resources": {"cpu": 4}, "pod": {"nodeSelector": {"gpu": "yes"}}}
    config = jobs.KubernetesConfig.model_validate({"image": "i", "mount_path": "/data", **further})
    job = jobs.job_of(config, "growgan-1", ["train"], Path("/data/faces"), pods)
    service = jobs.service_of(job, "u")
    assert schema_of(KINDS["job.yaml"]).from_dict(job).to_dict() == job
    assert schema_of(SERVICE).from_dict(service).to_dict() == service


@pytest.mark.parametrize(
    "harm",
    [
        lambda job: job["template"]["spec"].update(restartPolcy="Never"),
        lambda job: job.update(backoffLimit="a hundred"),
        lambda job: job["podFailurePolicy"]["rules"][0].update(action="Fail"),
        lambda job: job["template"]["spec"]["containers"][0].pop("name"),
    ],
)
def test_the_schema_finds_mistakes(harm: Callable[[dict[str, Any]], object]) -> None:
    loaded = manifest("jobset.yaml")
    harm(loaded["spec"]["replicatedJobs"][0]["template"]["spec"])
    try:
        parsed = schema_of(KINDS["jobset.yaml"]).from_dict(loaded)
    except ValueError:
        return
    assert parsed.to_dict() != loaded


@pytest.mark.parametrize("name", ["job.yaml", "jobset.yaml"])
def test_jobs_start_again_after_what_is_documented_and_nothing_else(name: str) -> None:
    job, (pod, container) = job_of(name), pod_of(name)
    assert pod["restartPolicy"] == "Never"  # else a failure policy is refused
    [rule] = [rule for rule in job["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    codes = rule["onExitCodes"]
    assert (rule["action"], codes["operator"]) == ("FailJob", "NotIn")
    assert codes["containerName"] == container["name"]
    among = GO_ON if name == "jobset.yaml" else GO_ON - {exit_status.WORKER_GONE}
    assert set(codes["values"]) == among
    assert codes["values"] == sorted(codes["values"])  # as the API demands


def test_a_jobset_starts_all_workers_again_but_after_a_mistake() -> None:
    policy = manifest("jobset.yaml")["spec"]["failurePolicy"]
    [rule] = policy["rules"]
    assert policy["maxRestarts"] > 0
    assert (rule["action"], rule["onJobFailureReasons"]) == ("FailJobSet", ["PodFailurePolicy"])
    assert job_of("jobset.yaml")["backoffLimit"] == 0


@pytest.mark.parametrize("name", ["job.yaml", "jobset.yaml"])
def test_workers_share_the_volume_and_leave_no_work(name: str) -> None:
    pod, container = pod_of(name)
    [volume], [mount] = pod["volumes"], container["volumeMounts"]
    claim = manifest("volume.yaml")
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert mount == {"name": volume["name"], "mountPath": container["workingDir"]}
    assert "ReadWriteMany" in claim["spec"]["accessModes"]
    assert pod["terminationGracePeriodSeconds"] >= 60


def test_every_pod_of_the_jobset_finds_its_workers() -> None:
    loaded, job, (_, container) = (
        manifest("jobset.yaml"),
        job_of("jobset.yaml"),
        pod_of("jobset.yaml"),
    )
    assert job["completionMode"] == "Indexed"
    assert job["parallelism"] == job["completions"]
    # Kubernetes puts in variables that stand before the one that uses them.
    index, tf_config = container["env"]
    assert index["valueFrom"]["fieldRef"]["fieldPath"] == (
        "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    )
    name, [port] = loaded["metadata"]["name"], container["ports"]
    hosts = [f"{name}-worker-0-{pod}.{name}" for pod in range(job["completions"])]
    for pod in range(job["completions"]):
        value = tf_config["value"].replace(f"$({index['name']})", str(pod))
        found = cluster_of({tf_config["name"]: value})
        addresses = tuple(f"{host}:{port['containerPort']}" for host in hosts)
        assert found == Cluster(addresses, pod)


def commands() -> Iterator[Any]:
    for name in ("job.yaml", "jobset.yaml"):
        _, container = pod_of(name)
        yield pytest.param([*container["command"], *container.get("args", [])], id=name)
    script = (DEPLOY / "train.sbatch").read_text().replace("\\\n", " ")
    [line] = [line for line in script.splitlines() if line.startswith("srun ")]
    yield pytest.param(line.split()[1:], id="train.sbatch")


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("command", list(commands()))
def test_commands_are_those_of_growgan(command: list[str], tmp_path: Path) -> None:
    """The command line takes them: what it complains of is only the missing configuration."""
    program, *arguments = command
    assert program == "growgan"
    result = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("growgan: `--config` must be a readable file.")


def sbatch(tmp_path: Path, status: int, restarts: str = "0") -> tuple[int, list[str]]:
    """The status of the script, and what it asked of Slurm, where `srun` ends with a status."""
    for name, text in (("srun", f"exit {status}"), ("scontrol", f'echo "$*" >> {tmp_path}/asked')):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    environment = {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": restarts}
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    script = str(DEPLOY / "train.sbatch")
    subprocess.run(["bash", "-n", script], check=True)
    result = subprocess.run(["bash", script], env={**environment, **path}, check=False)
    asked = tmp_path / "asked"
    return result.returncode, asked.read_text().splitlines() if asked.exists() else []


@pytest.mark.parametrize("status", [0, 1, 2, *sorted(GO_ON - {130})])
def test_the_script_of_slurm_asks_for_another_start(tmp_path: Path, status: int) -> None:
    again = ["requeue 7"] if status in GO_ON else []
    assert sbatch(tmp_path, status) == (status, again)


def test_the_script_of_slurm_does_not_start_again_for_ever(tmp_path: Path) -> None:
    assert sbatch(tmp_path, 69, "100") == (69, [])


def test_the_script_of_slurm_asks_for_a_task_a_node_and_a_signal_in_time() -> None:
    lines = (DEPLOY / "train.sbatch").read_text().splitlines()
    options = dict(
        line.removeprefix("#SBATCH --").partition("=")[::2]
        for line in lines
        if line.startswith("#SBATCH --")
    )
    assert options["ntasks-per-node"] == "1"
    # To the tasks, not to the script: without B.
    name, _, seconds = options["signal"].partition("@")
    assert name == "TERM"
    assert int(seconds) >= 60
    assert {"requeue", "nodes", "time"} <= options.keys()
