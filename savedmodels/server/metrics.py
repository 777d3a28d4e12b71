"""Metrics for Prometheus, under TensorFlow Serving's names: counts and latencies of requests."""

from __future__ import annotations

import bisect
import threading
from collections import Counter
from collections.abc import Iterable, Sequence

PATH = "/monitoring/prometheus/metrics"  # Path of the metrics page over REST.
# Upper bounds of the histograms' buckets in microseconds, as in TensorFlow Serving.
_BOUNDS = [10 * 1.8**power for power in range(33)]
# Written without Prometheus' client library, which would append `_total` to this name.
_COUNT = ":tensorflow:serving:request_count"
# Labels of each latency histogram.
_LATENCIES = {
    "request_latency": ("model_name", "API", "entrypoint"),
    "runtime_latency": ("model_name", "API", "runtime"),
    "model_warmup_latency": ("model_path", "status"),
}


class _Histogram:
    def __init__(self) -> None:
        self.buckets = [0] * (len(_BOUNDS) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.buckets[bisect.bisect_right(_BOUNDS, value)] += 1
        self.sum += value


class Metrics:
    """Counts and latency histograms since the server's start; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, ...]] = Counter()
        self._histograms: dict[str, dict[tuple[str, ...], _Histogram]] = {
            name: {} for name in _LATENCIES
        }

    def count_request(self, model: str, status: str) -> None:
        """Count one prediction under its model and the name of its canonical code."""
        with self._lock:
            self._counts[model, status] += 1

    def add_latency(self, name: str, labels: tuple[str, ...], seconds: float) -> None:
        """Add seconds to `request_latency`, `runtime_latency` or `model_warmup_latency`."""
        with self._lock:
            self._histograms[name].setdefault(labels, _Histogram()).add(seconds * 1e6)

    def page(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        with self._lock:
            lines = [f"# TYPE {_COUNT} counter"]
            for labels, count in self._counts.items():
                lines.append(f"{_COUNT}{_write_labels(('model_name', 'status'), labels)} {count}")
            for name, histograms in self._histograms.items():
                full_name = f":tensorflow:serving:{name}"
                lines.extend(_write_histograms(full_name, _LATENCIES[name], histograms))
        return ("\n".join(lines) + "\n").encode()


def _write_histograms(
    name: str, label_names: Sequence[str], histograms: dict[tuple[str, ...], _Histogram]
) -> Iterable[str]:
    yield f"# TYPE {name} histogram"
    for labels, histogram in histograms.items():
        total = 0  # Cumulative: a bucket in Prometheus counts all smaller values too.
        for bound, count in zip([*_BOUNDS, None], histogram.buckets, strict=True):
            total += count
            le = "+Inf" if bound is None else f"{bound:.6g}"
            yield f"{name}_bucket{_write_labels((*label_names, 'le'), (*labels, le))} {total}"
        yield f"{name}_sum{_write_labels(label_names, labels)} {histogram.sum:.6g}"
        yield f"{name}_count{_write_labels(label_names, labels)} {total}"


def _write_labels(names: Sequence[str], values: Sequence[str]) -> str:
    pairs = (f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{','.join(pairs)}}}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
