"""What is shipped to serve a model repository, against schemas and against growgan."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from pipeline import cli
from savedmodels.repository.repository import Repository
from savedmodels.server import batching_file
from savedmodels.server.batching import BatchingParameters

SERVING = resources.files("pipeline") / "orchestration" / "deploy" / "serving"
PORTS = {"grpc": 8500, "rest": 8501}
METRICS = {
    "tensorflow:serving:request_count": {"model_name", "status"},
    "tensorflow:serving:request_latency": {"model_name", "API", "entrypoint"},
    "tensorflow:serving:runtime_latency": {"model_name", "API", "runtime"},
    "tensorflow:serving:model_warmup_latency": {"model_path", "status"},
    "tensorflow:serving:batching_session:queuing_latency": {"thread_pool_name"},
    "tensorflow:serving:batching_session:input_batch_size": set[str](),
    "tensorflow:serving:batching_session:processed_batch_size": set[str](),
    "tensorflow:cc:saved_model:load_attempt_count": {"model_path", "status"},
    "tensorflow:cc:saved_model:load_latency": {"model_path"},
}
"""Names and labels of TensorFlow Serving's metrics, as its sources have them."""
HISTOGRAMS = {name for name in METRICS if not re.search("_count$|load_latency$", name)}


def text(name: str) -> str:
    return (SERVING / name).read_text()


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text(name)))


def document(name: str) -> dict[str, Any]:
    [loaded] = documents(name)
    return loaded


def container() -> dict[str, Any]:
    [found] = document("statefulset.yaml")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def schema_of(name: str) -> Any:
    from kubeflow_trainer_api import models  # takes a second or more

    return getattr(models, f"IoK8sApiCoreV1{name}")


def monitoring_config() -> Any:
    """A `MonitoringConfig`, which the package of clients does not hold."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="m.proto", package="tests", syntax="proto3")
    outer = file.message_type.add(name="MonitoringConfig")
    inner = outer.nested_type.add(name="PrometheusConfig")
    outer.field.add(
        name="prometheus_config",
        number=1,
        label=1,
        type=11,
        type_name=".tests.MonitoringConfig.PrometheusConfig",
    )
    inner.field.add(name="enable", number=1, label=1, type=8)
    inner.field.add(name="path", number=2, label=1, type=9)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tests.MonitoringConfig"))()


def test_monitoring_is_where_prometheus_reads_it() -> None:
    from google.protobuf import text_format

    config = text_format.Parse(text("monitoring.config"), monitoring_config()).prometheus_config
    assert config.enable
    [scraped] = document("prometheus.yaml")["scrape_configs"]
    assert scraped["metrics_path"] == config.path
    assert scraped["static_configs"] == [{"targets": [f"serving:{PORTS['rest']}"]}]
    template = document("statefulset.yaml")["spec"]["template"]
    annotations = template["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] == config.path
    assert annotations["prometheus.io/port"] == str(PORTS["rest"])
    assert container()["readinessProbe"]["httpGet"] == {"path": config.path, "port": "rest"}


def test_batching_has_what_the_server_demands() -> None:
    parameters = batching_file.read(text("batching.config"))
    assert parameters == BatchingParameters(
        32, 2000, max_enqueued_batches=64, num_batch_threads=2, allowed_batch_sizes=(1, 4, 16, 32)
    )


@pytest.mark.parametrize(
    ("plain", "batching"),
    [("compose.yaml", "compose.batching.yaml"), ("statefulset.yaml", "batching.patch.yaml")],
)
def test_servers_get_the_same_flags_everywhere(plain: str, batching: str) -> None:
    def flags(name: str) -> list[str]:
        loaded = document(name)
        if "services" in loaded:
            return list(loaded["services"]["serving"]["command"])
        [served] = loaded["spec"]["template"]["spec"]["containers"]
        assert served["name"] == "serving"
        return list(served["args"])

    of = dict(flag.removeprefix("--").split("=") for flag in flags(plain))
    assert of == {
        "model_config_file": "/models/models.config",
        "model_config_file_poll_wait_seconds": "5",
        "allow_version_labels_for_unavailable_models": "true",
        "load_retry_interval_micros": "10000000",
        "monitoring_config_file": "/config/monitoring.config",
    }
    # A file of parameters without the flag is an error when the server starts.
    assert flags(batching) == [
        *flags(plain),
        "--enable_batching=true",
        "--enable_model_warmup=false",
        "--batching_parameters_file=/config/batching.config",
    ]


def test_the_pod_has_the_fields_of_its_kind_and_no_others() -> None:
    loaded = document("statefulset.yaml")
    template = loaded["spec"]["template"]
    assert schema_of("PodTemplateSpec").from_dict(template).to_dict() == template
    assert (loaded["apiVersion"], loaded["kind"]) == ("apps/v1", "StatefulSet")
    assert loaded["spec"].keys() == {
        *("serviceName", "replicas", "podManagementPolicy", "selector", "template")
    }
    assert loaded["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    patched = document("batching.patch.yaml")["spec"]["template"]
    assert schema_of("PodTemplateSpec").from_dict(patched).to_dict() == patched


@pytest.mark.parametrize("number", [0, 1])
def test_services_lead_to_the_servers(number: int) -> None:
    loaded = documents("services.yaml")[number]
    assert schema_of("Service").from_dict(loaded).to_dict() == loaded
    stateful = document("statefulset.yaml")
    assert loaded["spec"]["selector"] == stateful["spec"]["selector"]["matchLabels"]
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert ports == PORTS
    assert {port["targetPort"]: port["port"] for port in loaded["spec"]["ports"]} == ports
    headless = loaded["spec"].get("clusterIP") == "None"
    assert headless == (loaded["metadata"]["name"] == stateful["spec"]["serviceName"])


def test_the_configuration_comes_from_the_files_beside_it() -> None:
    kustomization = document("kustomization.yaml")
    [generated] = kustomization["configMapGenerator"]
    for name in (*kustomization["resources"], *generated["files"]):
        assert (SERVING / name).is_file()
    pod = document("statefulset.yaml")["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["config"]["configMap"]["name"] == generated["name"]
    claim = yaml.safe_load((SERVING.parent / "volume.yaml").read_text())
    claimed = volumes["work"]["persistentVolumeClaim"]["claimName"]
    assert claimed == claim["metadata"]["name"]
    mounts = {mount["name"]: mount for mount in container()["volumeMounts"]}
    assert mounts.keys() == volumes.keys()
    files = [flag.partition("=")[2] for flag in container()["args"] if "_file=" in flag]
    places = {mount["mountPath"] for mount in mounts.values()}
    assert {str(Path(file).parent) for file in files} <= places


def test_compose_mounts_what_it_names_and_listens_on_loopback() -> None:
    loaded = document("compose.yaml")
    assert loaded["services"].keys() >= document("compose.batching.yaml")["services"].keys()
    for service in loaded["services"].values():
        image, _, tag = service["image"].rpartition(":")
        assert image
        assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag)
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:")
        for volume in service["volumes"]:
            source, _, target = volume.removesuffix(":ro").rpartition(":")
            if source.startswith("."):
                assert (Path(str(SERVING)) / source).exists()
                assert volume.endswith(":ro")
            else:
                assert source in loaded["volumes"] or source.startswith("${REPOSITORY:?")
            assert target.startswith("/")
    [source] = document("grafana-datasource.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    [provider] = document("grafana-dashboards.yaml")["providers"]
    mounted = loaded["services"]["grafana"]["volumes"]
    assert any(provider["options"]["path"] in volume for volume in mounted)
    assert document("prometheus.yaml")["rule_files"] == ["alerts.yaml"]


def expressions() -> Iterator[Any]:
    for panel in json.loads(text("dashboard.json"))["panels"]:
        for target in panel["targets"]:
            yield pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for group in document("alerts.yaml")["groups"]:
        for rule in group["rules"]:
            yield pytest.param(rule["expr"], id=rule["alert"])


@pytest.mark.parametrize("expression", list(expressions()))
def test_expressions_are_of_metrics_that_servers_give(expression: str) -> None:
    """By the names in its sources; `le` is the label of a histogram's buckets."""
    names = re.findall(r":(tensorflow:[\w:]+)", expression)
    assert names or "up{" in expression
    labels = {"le"}
    for name in names:
        metric = re.sub("_(bucket|sum)$", "", name)
        assert metric in METRICS
        assert (metric in HISTOGRAMS) == (name != metric)
        labels |= METRICS[metric]
    used = {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in
            re.split(", ?", group)}  # fmt: skip
    used |= set(re.findall(r"[{,](\w+)[=!]", expression)) - {"job"}
    assert used <= labels


def test_the_dashboard_is_whole() -> None:
    board = json.loads(text("dashboard.json"))
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    uid = document("grafana-datasource.yaml")["datasources"][0]["uid"]
    [variable] = board["templating"]["list"]
    assert variable["name"] == "model"
    for owner in (variable, *board["panels"]):
        assert owner["datasource"] == {"type": "prometheus", "uid": uid}
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


@pytest.mark.parametrize("name", ["compose.yaml", "statefulset.yaml"])
def test_the_commands_in_the_comments_work(
    name: str,
    run_with: Any,
    savedmodel: Callable[..., Path],
    watching: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for run, images in (("mine", 10), ("next", 20)):
        made = run_with(tmp_path / "runs" / run)
        savedmodel(made.savedmodels / "4x4" / str(images), run, images_seen=images)
    comment = "\n".join(
        line.removeprefix("#").strip() for line in text(name).splitlines() if line.startswith("#")
    )
    lines = comment.replace("\\\n", " ").splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("growgan ")]
    assert len(commands) == 2
    monkeypatch.chdir(tmp_path)
    # What is published here are no SavedModels.
    passed = SimpleNamespace(passed=True, comparison="so")
    monkeypatch.setattr("pipeline.cli.publishing.run_verification", lambda *_, **__: passed)
    # The server sees the folder elsewhere, and starts when there is a label already.
    server = watching.WatchingServer(tmp_path / "models" / "models.config")
    server.elsewhere = {"/models": str(tmp_path / "models")}
    server.states = {"faces": {1: "AVAILABLE"}}
    with server.listening() as url:
        for command in commands:
            words = [url if word.startswith("http://") else word for word in command]
            monkeypatch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as caught:
                cli.main()
            assert not caught.value.code
    assert Repository(tmp_path / "models").label_state("faces").labels == {"stable": 2}
    assert server.problems == []
