"""The page of metrics, as Prometheus' own reader takes it."""

from __future__ import annotations

import pytest

from savedmodels.server.metrics import Metrics

parser = pytest.importorskip("prometheus_client.parser")


def families(metrics: Metrics) -> dict[str, object]:
    return {
        family.name: family
        for family in parser.text_string_to_metric_families(metrics.page().decode())
    }


def test_counts_and_latencies_are_read_by_prometheus() -> None:
    metrics = Metrics()
    for status in ("OK", "OK", "NOT_FOUND"):
        metrics.count_request('a"\\\n', status)
    for seconds in (5e-6, 0.001, 0.001, 5000.0):
        metrics.add_latency("request_latency", ("m", "predict", "REST"), seconds)
    page = metrics.page().decode()
    assert "# TYPE :tensorflow:serving:request_count counter\n" in page
    found = families(metrics)
    counts = {
        (sample.labels["model_name"], sample.labels["status"]): sample.value
        for sample in found[":tensorflow:serving:request_count"].samples  # type: ignore[attr-defined]
    }
    assert counts == {('a"\\\n', "OK"): 2, ('a"\\\n', "NOT_FOUND"): 1}
    latency = found[":tensorflow:serving:request_latency"]
    assert latency.type == "histogram"  # type: ignore[attr-defined]
    samples = latency.samples  # type: ignore[attr-defined]
    buckets = [s.value for s in samples if s.name.endswith("_bucket")]
    limits = [s.labels["le"] for s in samples if s.name.endswith("_bucket")]
    assert limits[:3] == ["10", "18", "32.4"]
    assert limits[-1] == "+Inf"
    assert buckets == sorted(buckets)
    assert buckets[0] == 1
    assert buckets[-1] == 4
    values = {s.name.rpartition("_")[2]: s.value for s in samples if "_bucket" not in s.name}
    assert values["count"] == 4
    assert values["sum"] == pytest.approx(5e9, rel=1e-3)
    assert samples[0].labels["entrypoint"] == "REST"
    assert samples[0].labels["API"] == "predict"


def test_a_page_without_requests_is_one_too() -> None:
    assert ":tensorflow:serving:request_latency" in families(Metrics())
