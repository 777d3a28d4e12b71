"""Who the workers are, from TF_CONFIG and from Slurm."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.training.distributed.cluster import Cluster, cluster_of, share_of_worker


def tf_config(cluster: object, task: object) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def test_tf_config_names_the_workers() -> None:
    workers = {"worker": ["a:1", "b:2", "c:3"]}
    for index in range(3):
        found = cluster_of(tf_config(workers, {"type": "worker", "index": index}))
        assert found == Cluster(("a:1", "b:2", "c:3"), index)


def test_a_chief_comes_before_the_workers() -> None:
    jobs = {"chief": ["a:1"], "worker": ["b:2", "c:3"]}
    assert cluster_of(tf_config(jobs, {"type": "chief", "index": 0})) == Cluster(
        ("a:1", "b:2", "c:3"), 0
    )
    # Some write the index as text.
    assert cluster_of(tf_config(jobs, {"type": "worker", "index": "1"})).index == 2


def test_a_cluster_tells_of_itself_as_tensorflow_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(("a:1", "b:2"), 1)
    assert cluster_of({"TF_CONFIG": cluster.tf_config()}) == cluster
    monkeypatch.setenv("TF_CONFIG", cluster.tf_config())
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    assert (resolver.task_type, resolver.task_id) == ("worker", 1)
    assert resolver.cluster_spec().as_dict() == {"worker": ["a:1", "b:2"]}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}',
    ],
)
def test_another_tf_config_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError, match=r"^TF_CONFIG must be like .* Received: ") as caught:
        cluster_of({"TF_CONFIG": text})
    assert str(caught.value).endswith(text)
    assert "\n" not in str(caught.value)


def test_no_workers_at_all_are_refused() -> None:
    with pytest.raises(UserError, match=r"needs workers: `--workers 2` starts some here"):
        cluster_of({})


SLURM = {
    "SLURM_STEP_NODELIST": "node[2,10]",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_JOB_ID": "4711",
}


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Slurm answers; there is none on this machine."""
    program = tmp_path / "scontrol"
    program.write_text(
        "#!/bin/sh\n"
        '[ "$*" = "show hostnames node[2,10]" ] || exit 1\n'
        "printf 'node2\\nnode10\\n'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.usefixtures("scontrol")
def test_slurm_names_a_worker_a_node_in_its_own_order() -> None:
    assert cluster_of(SLURM) == Cluster(("node2:24711", "node10:24711"), 1)


@pytest.mark.usefixtures("scontrol")
@pytest.mark.parametrize(
    "change", [{"SLURM_STEP_NUM_TASKS": "4"}, {"SLURM_STEP_NODELIST": "nowhere"}]
)
def test_several_tasks_a_node_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"takes one task of Slurm a node: --ntasks-per-node=1"):
        cluster_of({**SLURM, **change})


def test_the_share_of_a_worker_is_a_run_of_as_many_steps(tiny: Callable[..., Config]) -> None:
    """The pre-flight looks at it: a worker holds its own share of a batch."""
    config = tiny(
        schedule={"batch_size": {4: 16, 8: 8}, "hold_images": {4: 64, 8: 96}},
        run={"strategy": "multi_worker"},
    )
    share = share_of_worker(config, 2)
    assert share.run.strategy == "one_device"
    assert share_of_worker(config, 2, gpus=8).run.strategy == "mirrored"
    whole, own = (each.schedule.build() for each in (config, share))
    assert own.steps(1) == whole.steps(1)
    assert [each.batch_size for each in own.phases] == [
        each.batch_size // 2 for each in whole.phases
    ]
